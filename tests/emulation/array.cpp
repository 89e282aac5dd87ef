#include "array.h"

#include <limits>

namespace {

// Elements from one row to the next.
int64_t row_stride(int64_t size, Layout layout) {
  if (layout == Layout::kPadded || layout == Layout::kSwapped) return (size + 23) / 8 * 8;
  return layout == Layout::kSkewed ? (size + 3) | 1 : size;
}

template <typename T>
T element(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
void put(char* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace

Array::Array(Format format, std::vector<int64_t> sizes, Layout layout)
    : format(format), sizes(sizes), strides(sizes.size(), 1), count_(1) {
  const int last = static_cast<int>(sizes.size()) - 1;
  int64_t stride = row_stride(sizes[last], layout);
  for (int i = 0; i < last; ++i) {
    const int dimension = layout == Layout::kSwapped ? i : last - 1 - i;
    if (layout == Layout::kSplit && dimension == 0) stride = (stride + 3) | 1;
    strides[dimension] = stride;
    stride *= sizes[dimension];
  }
  for (const int64_t size : sizes) count_ *= size;
  if (layout == Layout::kShifted && count_ > 0) offset_ = 1;
  capacity_ = count_ > 0 ? offset_ + 1 : 0;
  for (size_t i = 0; i < sizes.size() && count_ > 0; ++i) capacity_ += (sizes[i] - 1) * strides[i];
  find_positions();
  allocate();
  std::memset(storage_.get(), 0xff, capacity_ * size_of(format));
}

Array::Array(const Array& other)
    : format(other.format),
      sizes(other.sizes),
      strides(other.strides),
      count_(other.count_),
      capacity_(other.capacity_),
      offset_(other.offset_),
      positions_(other.positions_) {
  allocate();
  std::memcpy(storage_.get(), other.storage_.get(), capacity_ * size_of(format));
}

void Array::allocate() {
  storage_.reset(static_cast<char*>(std::malloc(capacity_ * size_of(format))));
}

void Array::find_positions() {
  const auto positions = std::make_shared<Positions>();
  std::vector<bool> is_element(capacity_);
  for (int64_t i = 0; i < count_; ++i) {
    int64_t position = offset_, rest = i;
    for (size_t dimension = sizes.size(); dimension-- > 0;) {
      position += rest % sizes[dimension] * strides[dimension];
      rest /= sizes[dimension];
    }
    positions->elements.push_back(position);
    is_element[position] = true;
  }
  for (int64_t i = 0; i < capacity_; ++i) {
    if (!is_element[i]) positions->gaps.push_back(i);
  }
  positions_ = positions;
}

double Array::get(int64_t i) const {
  const char* from = storage_.get() + positions_->elements[i] * size_of(format);
  switch (format) {
    case Format::kFloat:
      return element<float>(from);
    case Format::kHalf:
      return emulation::half_to_float(element<uint16_t>(from));
    case Format::kBFloat16:
      return emulation::bfloat16_to_float(element<uint16_t>(from));
    case Format::kInt32:
      return element<int32_t>(from);
    case Format::kInt64:
      return static_cast<double>(element<int64_t>(from));
  }
  return std::numeric_limits<double>::quiet_NaN();
}

void Array::set(int64_t i, double value) {
  char* to = storage_.get() + positions_->elements[i] * size_of(format);
  const float rounded = static_cast<float>(value);
  switch (format) {
    case Format::kFloat:
      return put(to, rounded);
    case Format::kHalf:
      return put(to, emulation::float_to_half(rounded));
    case Format::kBFloat16:
      return put(to, emulation::float_to_bfloat16(rounded));
    case Format::kInt32:
      return put(to, static_cast<int32_t>(value));
    case Format::kInt64:
      return put(to, static_cast<int64_t>(value));
  }
}

bool Array::has_clean_gaps() const {
  for (const int64_t gap : positions_->gaps) {
    const char* from = storage_.get() + gap * size_of(format);
    for (int64_t i = 0; i < size_of(format); ++i) {
      if (from[i] != static_cast<char>(0xff)) return false;
    }
  }
  return true;
}
