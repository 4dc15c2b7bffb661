// One element of a truncated normal distribution, in double (truncated_normal.c).

#ifndef COIX_TRUNCATED_NORMAL_H
#define COIX_TRUNCATED_NORMAL_H

/// The log-density at q = {x, location, scale, low, high}, where either bound may be infinite. Unless `slopes` is NULL, it gets
/// the derivatives with respect to these numbers.
double coix_truncated_normal(const double *q, double *slopes);

/// The derivatives of a draw with respect to q = {draw, u, location, scale, low, high}. The draw was made from the uniform number
/// u, the value of the cumulative distribution function at the draw, which stays fixed. q's draw, which is rounded, is not read;
/// the slopes for draw and u are 0.
void coix_truncated_normal_move(const double *q, double *slopes);

#endif
