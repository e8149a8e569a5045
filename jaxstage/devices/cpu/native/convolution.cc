// Convolutions for the CPU, as XLA custom calls: images NHWC, weights HWIO, float32, one group, no dilation.
//
// Both are the classic direct method: a tile of the result stays in vector registers while the taps and the channels
// that it sums over go by, one broadcast value times one or two vectors of output channels. Borders are zeros of a
// padded copy of one image at a time, small enough for the cache, so no inner loop has a condition.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

#if defined(__AVX512F__) || defined(__aarch64__)  // 32 registers
constexpr int kRows = 8;
#else
constexpr int kRows = 4;
#endif
#if defined(__AVX512F__)
constexpr int kLanes = 16;  // floats of a register
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

constexpr int kFewestLanes = 4;  // what the number of output channels has to be a multiple of

template <int lanes>
using Vector __attribute__((vector_size(4 * lanes), aligned(4), may_alias)) = float;

struct Shape {
  int64_t batch, height, width, in;       // of the images
  int64_t taps_high, taps_wide;           // of the weights
  int64_t out_height, out_width, out;     // of the result
  int64_t stride, top, left;

  int64_t padded_height() const { return (out_height - 1) * stride + taps_high; }
  int64_t padded_width() const { return (out_width - 1) * stride + taps_wide; }
  int64_t pixels() const { return out_height * out_width; }
  int64_t weights() const { return taps_high * taps_wide * in * out; }
};

// Runs work(0) ... work(count - 1) on XLA's threads and on this one, which never waits for a thread that has not begun.
template <typename Work>
void Parallel(ffi::ThreadPool& pool, int64_t count, const Work& work) {
  struct Progress {
    std::atomic<int64_t> next{0}, done{0};
  };
  auto progress = std::make_shared<Progress>();
  auto drain = [progress, count, &work] {
    for (int64_t i; (i = progress->next++) < count; ++progress->done) work(i);
  };
  for (int64_t i = 1; i < std::min(pool.num_threads(), count); ++i) pool.Schedule([drain] { drain(); });
  drain();
  while (progress->done < count) std::this_thread::yield();
}

// The image with borders of zeros; a border below 0, as gradients of a wide padding have it, cuts off.
void CopyPadded(const float* image, const Shape& s, float* padded) {
  const int64_t row = s.padded_width() * s.in;
  std::memset(padded, 0, s.padded_height() * row * sizeof(float));
  const int64_t first = std::max<int64_t>(0, -s.left), columns = std::min(s.width, s.padded_width() - s.left) - first;
  if (columns <= 0) return;
  for (int64_t h = std::max<int64_t>(0, -s.top); h < std::min(s.height, s.padded_height() - s.top); ++h)
    std::memcpy(padded + (h + s.top) * row + (first + s.left) * s.in, image + (h * s.width + first) * s.in,
                columns * s.in * sizeof(float));
}

// Cuts `count` into pieces of `rows`, then of half as many, down to 1; work(rows as a constant, first of the piece).
template <int rows, typename Work>
void Tiles(int64_t count, const Work& work, int64_t first = 0) {
  for (; first + rows <= count; first += rows) work(std::integral_constant<int, rows>(), first);
  if constexpr (rows > 1) Tiles<rows / 2>(count, work, first);
}

// Adds what one row of taps sees to `rows` neighbours of an output row, `vectors` vectors of output channels.
template <int rows, int lanes, int vectors>
void ForwardTile(const float* padded, const float* weights, const Shape& s, float* result) {
  Vector<lanes> sums[rows][vectors];
  auto each = [&](auto work) {
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v) work(sums[r][v], *reinterpret_cast<Vector<lanes>*>(result + r * s.out + v * lanes));
  };
  each([](Vector<lanes>& sum, Vector<lanes>& there) { sum = there; });
  const float* k = weights;
  for (int64_t i = 0; i < s.taps_wide * s.in; ++i, k += s.out)
    for (int v = 0; v < vectors; ++v) {
      const Vector<lanes> kernel = *reinterpret_cast<const Vector<lanes>*>(k + v * lanes);
      #pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) sums[r][v] += padded[i + r * s.stride * s.in] * kernel;
    }
  each([](Vector<lanes>& sum, Vector<lanes>& there) { there = sum; });
}

template <int lanes, int vectors>
void ForwardImage(const float* padded, const float* weights, const Shape& s, float* result) {
  std::memset(result, 0, s.pixels() * s.out * sizeof(float));
  for (int64_t c = 0; c < s.out; c += vectors * lanes)
    for (int64_t tap = 0; tap < s.taps_high; ++tap)  // the weights of one row of taps stay in the first cache
      for (int64_t h = 0; h < s.out_height; ++h) {
        const float* x = padded + (h * s.stride + tap) * s.padded_width() * s.in;
        const float* k = weights + tap * s.taps_wide * s.in * s.out + c;
        float* y = result + h * s.out_width * s.out + c;
        Tiles<kRows>(s.out_width, [&](auto rows, int64_t w) {
          ForwardTile<rows(), lanes, vectors>(x + w * s.stride * s.in, k, s, y + w * s.out);
        });
      }
}

// Adds one image's share of the weights' gradient at one tap: `rows` input channels, `vectors` of output channels.
template <int rows, int lanes, int vectors>
void GradientTile(const float* padded, const float* cotangent, const Shape& s, float* gradient) {
  Vector<lanes> sums[rows][vectors] = {};
  for (int64_t h = 0; h < s.out_height; ++h) {
    const float* x = padded + h * s.stride * s.padded_width() * s.in;
    const float* y = cotangent + h * s.out_width * s.out;
    for (int64_t w = 0; w < s.out_width; ++w, x += s.stride * s.in, y += s.out)
      for (int v = 0; v < vectors; ++v) {
        const Vector<lanes> upstream = *reinterpret_cast<const Vector<lanes>*>(y + v * lanes);
        #pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) sums[r][v] += x[r] * upstream;
      }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) *reinterpret_cast<Vector<lanes>*>(gradient + r * s.out + v * lanes) += sums[r][v];
}

template <int lanes, int vectors>
void GradientImage(const float* padded, const float* cotangent, const Shape& s, float* gradient) {
  for (int64_t h = 0; h < s.taps_high; ++h)
    for (int64_t w = 0; w < s.taps_wide; ++w)
      for (int64_t c = 0; c < s.out; c += vectors * lanes) {
        const float* x = padded + (h * s.padded_width() + w) * s.in;
        float* k = gradient + (h * s.taps_wide + w) * s.in * s.out + c;
        Tiles<2 * kRows / vectors>(s.in, [&](auto rows, int64_t i) {
          GradientTile<rows(), lanes, vectors>(x + i, cotangent + c, s, k + i * s.out);
        });
      }
}

using Image = void (*)(const float*, const float*, const Shape&, float*);

template <typename Pick>  // pick(lanes, vectors), constants, for so many output channels
Image Widest(int64_t out, const Pick& pick) {
  constexpr std::integral_constant<int, 1> one;
  constexpr std::integral_constant<int, 2> two;
  constexpr std::integral_constant<int, kLanes> full;
  constexpr std::integral_constant<int, std::max(kLanes / 2, kFewestLanes)> half;
  constexpr std::integral_constant<int, kFewestLanes> fewest;
  if (out % (2 * full) == 0) return pick(full, two);
  if (out % full == 0) return pick(full, one);
  return out % half == 0 ? pick(half, one) : pick(fewest, one);
}

constexpr int64_t kPieces = 16;  // of the batch; fixed, so that sums do not depend on the number of threads

template <typename Work>  // work(piece, image, padded) for every image of the batch, those of a piece in order
void EveryImage(ffi::ThreadPool& pool, const Shape& s, const float* images, const Work& work) {
  Parallel(pool, kPieces, [&](int64_t piece) {
    thread_local std::vector<float> padded;
    padded.resize(s.padded_height() * s.padded_width() * s.in);
    for (int64_t n = piece * s.batch / kPieces; n < (piece + 1) * s.batch / kPieces; ++n) {
      CopyPadded(images + n * s.height * s.width * s.in, s, padded.data());
      work(piece, n, padded.data());
    }
  });
}

using Array = ffi::Buffer<ffi::F32, 4>;

Shape ShapeOf(const Array& images, ffi::Span<const int64_t> weights, ffi::Span<const int64_t> result, int64_t stride,
              int64_t top, int64_t left) {
  const auto x = images.dimensions();
  return {x[0], x[1], x[2], x[3], weights[0], weights[1], result[1], result[2], result[3], stride, top, left};
}

ffi::Error Forward(ffi::ThreadPool pool, Array images, Array weights, ffi::Result<Array> result, int64_t stride,
                   int64_t top, int64_t left) {
  const Shape s = ShapeOf(images, weights.dimensions(), result->dimensions(), stride, top, left);
  const Image image = Widest(s.out, [](auto lanes, auto vectors) -> Image { return ForwardImage<lanes(), vectors()>; });
  EveryImage(pool, s, images.typed_data(), [&](int64_t, int64_t n, const float* padded) {
    image(padded, weights.typed_data(), s, result->typed_data() + n * s.pixels() * s.out);
  });
  return ffi::Error::Success();
}

ffi::Error WeightGradient(ffi::ThreadPool pool, Array images, Array cotangent, ffi::Result<Array> gradient,
                          int64_t stride, int64_t top, int64_t left) {
  const Shape s = ShapeOf(images, gradient->dimensions(), cotangent.dimensions(), stride, top, left);
  const Image image = Widest(s.out, [](auto lanes, auto vectors) -> Image { return GradientImage<lanes(), vectors()>; });
  std::vector<float> parts(kPieces * s.weights());
  EveryImage(pool, s, images.typed_data(), [&](int64_t piece, int64_t n, const float* padded) {
    image(padded, cotangent.typed_data() + n * s.pixels() * s.out, s, parts.data() + piece * s.weights());
  });
  for (int64_t i = 0; i < s.weights(); ++i) {
    float sum = 0;
    for (int64_t piece = 0; piece < kPieces; ++piece) sum += parts[piece * s.weights() + i];
    gradient->typed_data()[i] = sum;
  }
  return ffi::Error::Success();
}

auto Signature() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<Array>()
      .Arg<Array>()
      .Ret<Array>()
      .Attr<int64_t>("stride")
      .Attr<int64_t>("top")
      .Attr<int64_t>("left");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxstage_convolution, Forward, Signature());
XLA_FFI_DEFINE_HANDLER_SYMBOL(jaxstage_weight_gradient, WeightGradient, Signature());
