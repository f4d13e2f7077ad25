// The one family of exceptions, and the checks that throw them.
#pragma once

#include <stdexcept>
#include <string>

namespace cardiograd {

// What every part of cardiograd throws. what() is one sentence that tells the user what to do.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Bad input: a file, a record, a config key, a command line. The sentence names file, line or
// field.
class InputError : public Error {
 public:
  using Error::Error;
};

// Operands whose shapes or dtypes do not fit the operation.
class ShapeError : public Error {
 public:
  using Error::Error;
};

// A device that is absent, or an operation that this device or build does not have.
class DeviceError : public Error {
 public:
  using Error::Error;
};

namespace detail {
[[noreturn]] void fail_check(const char* expression, const char* file, int line,
                             const std::string& message);
}  // namespace detail

}  // namespace cardiograd

// Throws ShapeError with the expression, file and line when `expression` is false. `message` is a
// std::string expression that names the operands' shapes; it is evaluated on failure only.
#define CG_CHECK(expression, message)                                               \
  do {                                                                              \
    if (!(expression)) [[unlikely]]                                                 \
      ::cardiograd::detail::fail_check(#expression, __FILE__, __LINE__, (message)); \
  } while (false)
