#include "trainer/gnuplot.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/atomic_file.h"
#include "nn/utf8.h"

extern char** environ;

namespace cardiograd {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {
    if (descriptor < 0) {
      throw DeviceError("gnuplot could not be started (" + std::string(std::strerror(errno)) + ")");
    }
  }
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() { reset(); }

  int get() const { return descriptor_; }
  void reset() {
    if (descriptor_ >= 0) close(std::exchange(descriptor_, -1));
  }

 private:
  int descriptor_;
};

// A nameless file in memory: it takes what the process prints, however much, without a reader.
Descriptor memory_file(const char* name) { return Descriptor(memfd_create(name, MFD_CLOEXEC)); }

std::string contents(const Descriptor& file) {
  std::string text;
  std::array<char, 65536> buffer{};
  ssize_t got = 0;
  while ((got = pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()))) >
         0) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

// -d: no start-up files, so that a user's settings do not change the picture.
pid_t spawn(const Descriptor& input, const Descriptor& output, const Descriptor& errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors.get(), STDERR_FILENO);
  // A run blocks signals on its threads (signals.h); gnuplot heeds them.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::array<std::string, 2> words{"gnuplot", "-d"};
  std::array<char*, 3> arguments{words[0].data(), words[1].data(), nullptr};
  pid_t process = -1;
  const int failure =
      posix_spawnp(&process, words[0].c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failure == ENOENT) {
    throw DeviceError(
        "pictures need gnuplot, which was not found: install the package gnuplot-nox");
  }
  if (failure != 0) {
    throw DeviceError("gnuplot could not be started (" + std::string(std::strerror(failure)) + ")");
  }
  return process;
}

// A socket instead of a pipe: a process that ends early gives an error here rather than SIGPIPE.
void send_all(const Descriptor& to, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(to.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return;  // its exit status and its words will say why
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

int wait_for(pid_t process) {
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

std::string ending_of(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  if (ending == ".png" || ending == ".svg") return ending;
  throw InputError(path.string() + ": a picture's name must end with .png or .svg");
}

// Lengths are in the terminal's own units; the factors scale the script's fonts and line widths.
std::string terminal_command(const std::string& name, double width, double height,
                             double font_factor, double line_factor, const std::string& options) {
  return "set terminal " + name + " size " + std::to_string(std::lround(width)) + "," +
         std::to_string(std::lround(height)) + " noenhanced fontscale " +
         gnuplot_number(font_factor) + " linewidth " + gnuplot_number(line_factor) +
         " background '#ffffff' " + options + "\n";
}

std::string terminal(const std::filesystem::path& path, PictureSize size) {
  const bool png = ending_of(path) == ".png";
  const double scale = png ? 1.5 : 1.0;
  return terminal_command(png ? "pngcairo" : "svg", size.width * scale, size.height * scale, scale,
                          scale, std::string("font 'DejaVu Sans,11'") + (png ? "" : " dynamic"));
}

constexpr double svg_units_per_mm = 10.0;
constexpr double mm_per_inch = 25.4;

// A point of pngcairo's fonts is 4/3 pixels, one of svg's a unit.
std::string paper_terminal(bool png, PaperSize size) {
  const double scale = png ? size.dpi / mm_per_inch : svg_units_per_mm;
  return terminal_command(png ? "pngcairo" : "svg", size.width * scale, size.height * scale,
                          png ? 0.75 * scale : scale, scale,
                          std::string("font 'DejaVu Sans,3' rounded") + (png ? "" : " dynamic"));
}

// gnuplot's last line that is not only a mark under the command says what went wrong.
std::string last_words(const std::string& errors) {
  std::string last;
  for (std::size_t at = 0; at < errors.size();) {
    const std::size_t end = std::min(errors.find('\n', at), errors.size());
    const std::string line = errors.substr(at, end - at);
    if (line.find_first_not_of(" \t^") != std::string::npos) last = line;
    at = end + 1;
  }
  return last.empty() ? "it printed no picture" : valid_utf8(last);
}

std::string run_gnuplot(const std::filesystem::path& path, const std::string& terminal_line,
                        std::string_view script) {
  std::array<int, 2> ends{-1, -1};
  const int paired = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data());
  Descriptor ours(paired == 0 ? ends[0] : -1);
  Descriptor theirs(ends[1]);
  const Descriptor output = memory_file("picture");
  const Descriptor errors = memory_file("errors");
  const pid_t process = spawn(theirs, output, errors);
  theirs.reset();
  send_all(ours, "set encoding utf8\n" + terminal_line);
  send_all(ours, script);
  ours.reset();
  const int status = wait_for(process);
  std::string picture = contents(output);
  if (status != 0 || picture.empty()) {
    throw Error(path.string() + ": gnuplot could not draw the picture (" +
                last_words(contents(errors)) + ")");
  }
  return picture;
}

void append_big_endian(std::string& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xffU);
}

// CRC-32 of a PNG chunk's type and data (PNG specification, annex D).
std::uint32_t png_checksum(std::string_view bytes) {
  std::uint32_t crc = 0xffffffffU;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1U ^ (crc & 1U ? 0xedb88320U : 0U);
  }
  return ~crc;
}

// The PNG with a pHYs chunk, which gnuplot does not write, behind its header.
std::string with_resolution(const std::string& png, double dpi) {
  constexpr std::size_t header = 8 + 25;  // signature and IHDR
  const auto per_metre = static_cast<std::uint32_t>(std::lround(dpi / mm_per_inch * 1000.0));
  std::string body = "pHYs";
  append_big_endian(body, per_metre);
  append_big_endian(body, per_metre);
  body += '\1';  // the unit is the metre
  std::string chunk;
  append_big_endian(chunk, static_cast<std::uint32_t>(body.size() - 4));
  chunk += body;
  append_big_endian(chunk, png_checksum(body));
  return png.substr(0, header) + chunk + png.substr(std::min(header, png.size()));
}

// A `dynamic` SVG has a view box and no size of its own. gnuplot 5.4 leaves ":Bold" in a font's
// name, which no viewer understands.
std::string with_millimetres(std::string svg, PaperSize size, const std::filesystem::path& path) {
  const std::size_t at = svg.find("<svg");
  if (at == std::string::npos) {
    throw Error(path.string() + ": gnuplot drew something that is not an SVG");
  }
  svg.insert(at + 4, " width=\"" + gnuplot_number(size.width) + "mm\" height=\"" +
                         gnuplot_number(size.height) + "mm\"");
  constexpr std::string_view misread = "font-family=\"DejaVu Sans:Bold\"";
  constexpr std::string_view meant = "font-family=\"DejaVu Sans\" font-weight=\"bold\"";
  for (std::size_t font = svg.find(misread); font != std::string::npos;
       font = svg.find(misread, font + meant.size())) {
    svg.replace(font, misread.size(), meant);
  }
  return svg;
}

}  // namespace

void check_picture_path(const std::filesystem::path& path) {
  ending_of(path);
  const std::filesystem::path folder = path.parent_path();
  if (folder.empty() || std::filesystem::is_directory(folder)) return;
  throw InputError(path.string() + " cannot be written: there is no folder " + folder.string());
}

void draw_with_gnuplot(const std::filesystem::path& path, PictureSize size,
                       std::string_view script) {
  write_file(path, run_gnuplot(path, terminal(path, size), script));
}

void draw_on_paper(const std::filesystem::path& path, PaperSize size, std::string_view script) {
  if (!(size.dpi >= 50.0 && size.dpi <= 1200.0)) {
    throw InputError(path.string() + ": a picture has 50 to 1200 dpi, not " +
                     shortest_number(size.dpi));
  }
  const bool png = ending_of(path) == ".png";
  const std::string picture = run_gnuplot(path, paper_terminal(png, size), script);
  write_file(path,
             png ? with_resolution(picture, size.dpi) : with_millimetres(picture, size, path));
}

std::string gnuplot_quote(std::string_view text) {
  std::string quoted = "'";
  for (const char byte : valid_utf8(text)) {
    const auto value = static_cast<unsigned char>(byte);
    if (value < 0x20 || value == 0x7F) {
      quoted += ' ';
    } else if (byte == '\'' || byte == '`') {
      // Not a doubled quote: gnuplot 5.4 misreads one at the beginning of a string.
      quoted += "’";
    } else {
      quoted += byte;
    }
  }
  return quoted + "'";
}

std::string gnuplot_number(double value) {
  if (!std::isfinite(value)) return "NaN";
  std::array<char, 32> text{};
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 7);
  return {text.data(), end};
}

}  // namespace cardiograd
