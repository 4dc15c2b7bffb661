// One element of a truncated normal distribution, in double (truncated_normal.c).

#ifndef COIX_TRUNCATED_NORMAL_H
#define COIX_TRUNCATED_NORMAL_H

/// The log-density at q = {x, location, scale, low, high}, of which either bound may be infinite, and its derivatives by these numbers
/// unless `slopes` is NULL.
double coix_truncated_normal(const double *q, double *slopes);

/// How the draw that a uniform number u makes moves with q = {draw, u, location, scale, low, high} at a fixed u, its place in the
/// distribution function. The draw itself, which is rounded, is not read, and has slope 0, as u has.
void coix_truncated_normal_move(const double *q, double *slopes);

#endif
