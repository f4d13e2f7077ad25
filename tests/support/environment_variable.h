// Tests of what the environment says.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace cardiograd::testing {

// An environment variable for the length of a scope; null: not set.
class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    set(value);
  }
  ~EnvironmentVariable() { set(old_ ? old_->c_str() : nullptr); }
  EnvironmentVariable(const EnvironmentVariable&) = delete;
  EnvironmentVariable& operator=(const EnvironmentVariable&) = delete;

 private:
  void set(const char* value) const {
    static_cast<void>(value == nullptr ? ::unsetenv(name_) : ::setenv(name_, value, 1));
  }
  const char* name_;
  std::optional<std::string> old_;
};

}  // namespace cardiograd::testing
