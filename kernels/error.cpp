#include "kernels/error.h"

#include <string_view>

namespace cardiograd::detail {

void fail_check(const char* expression, const char* file, int line, const std::string& message) {
  // The path below the source root is enough to find the place.
  std::string_view path = file;
  for (std::string_view folder : {"/kernels/", "/nn/", "/data/", "/models/", "/trainer/"}) {
    if (const auto at = path.rfind(folder); at != std::string_view::npos) {
      path.remove_prefix(at + 1);
      break;
    }
  }
  std::string sentence = message;
  sentence.append(" (").append(path).append(":").append(std::to_string(line));
  sentence.append(": needs ").append(expression).append(")");
  throw ShapeError(sentence);
}

}  // namespace cardiograd::detail
