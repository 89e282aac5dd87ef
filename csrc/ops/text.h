// A str argument. torch's own conversion to std::string (2.10 to 2.13) copies into a heap string it
// never frees; this one leaves nothing behind.
#pragma once

#include <torch/csrc/stable/library.h>

#include <string>

namespace clusca {

struct Text {
  std::string value;
};

}  // namespace clusca

template <>
struct torch::stable::detail::ToImpl<clusca::Text> {
  static clusca::Text call(StableIValue stack_value, uint64_t, bool) {
    const auto handle = torch::stable::detail::to<StringHandle>(stack_value);
    size_t length = 0;
    const char* data = nullptr;
    TORCH_ERROR_CODE_CHECK(torch_string_length(handle, &length));
    TORCH_ERROR_CODE_CHECK(torch_string_c_str(handle, &data));
    clusca::Text text{std::string(data, length)};
    TORCH_ERROR_CODE_CHECK(torch_delete_string(handle));
    return text;
  }
};
