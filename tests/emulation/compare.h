// Are two arrays equal? Reports every case in which they are not.
#pragma once

#include <string>

#include "array.h"

// How far two values may lie apart: absolute + relative * |expected|.
struct Tolerance {
  double absolute = 0, relative = 0;
};

// Both arrays have the same layout. NaN equals NaN, 0 equals -0. What lies between the elements
// must be untouched in both.
void compare(const std::string& what, const Array& emulated, const Array& expected,
             Tolerance tolerance = {});

void report(const std::string& failure);
int failures();
