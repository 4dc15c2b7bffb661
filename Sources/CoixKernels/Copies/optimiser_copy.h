// One step of Adam on sixteen parameters at a time. Part of every copy (see copies.h).

typedef struct { v16 p, m, v; } COPY(adam_state);

INLINE COPY(adam_state) COPY(adam_step)(COPY(adam_state) s, v16 g, const adam_rates *a) {
  s.m = a->beta1 * s.m + a->rest1 * g;
  s.v = a->beta2 * s.v + a->rest2 * (g * g);
  v16 step = a->rate * (s.m / a->correction1) / (v_sqrt(s.v / a->correction2) + a->epsilon);
  if (a->decay != 0) step = step + a->decay * s.p;
  s.p = s.p - step;
  return s;
}

static void COPY(adam)(float *p, const float *g, float *m, float *v, size_t count, const adam_rates *rates) {
  // A copy, which no store can change: whether there is a decay is asked once.
  const adam_rates copy = *rates, *a = &copy;
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    COPY(adam_state) s = {v_load(p + i), v_load(m + i), v_load(v + i)};
    s = COPY(adam_step)(s, v_load(g + i), a);
    v_store(p + i, s.p);
    v_store(m + i, s.m);
    v_store(v + i, s.v);
  }
  if (i < count) {
    size_t n = count - i;
    COPY(adam_state) s = {v_load_part(p + i, n), v_load_part(m + i, n), v_load_part(v + i, n)};
    s = COPY(adam_step)(s, v_load_part(g + i, n), a);
    v_store_part(p + i, s.p, n);
    v_store_part(m + i, s.m, n);
    v_store_part(v + i, s.v, n);
  }
}

static const optimiser_table COPY(table) = {COPY(adam)};
