// The name of a kernel, for error sentences and for the count of tested kernels.
#pragma once

#include <string>
#include <string_view>

namespace cardiograd::cuda {

// "scale_kernel" for launch<scale_kernel<float>>. The compiler writes the template's argument into
// the function's own name: "... [with auto kernel = cardiograd::{anonymous}::scale_kernel<float>;".
template <auto kernel>
std::string kernel_name() {
  std::string_view text = __PRETTY_FUNCTION__;
  constexpr std::string_view key = "kernel = ";
  text.remove_prefix(text.find(key) + key.size());
  text = text.substr(0, text.find_first_of("<;]"));
  text = text.substr(0, text.find('('));
  const std::size_t colon = text.rfind(':');
  return std::string(colon == std::string_view::npos ? text : text.substr(colon + 1));
}

}  // namespace cardiograd::cuda
