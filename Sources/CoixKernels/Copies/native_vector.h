// vn is one vector register of the machine. Part of the copies that say how many registers they hold.

#define vn COPY(vn)
#define vn_memory COPY(vn_memory)
#define n_fma COPY(n_fma)
typedef float vn __attribute__((ext_vector_type(COIX_NATIVE)));
typedef float vn_memory __attribute__((ext_vector_type(COIX_NATIVE), aligned(4)));
#define UNROLL _Pragma("clang loop unroll(full)")

INLINE vn n_fma(vn a, vn b, vn c) {
#if COIX_FMA
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}
