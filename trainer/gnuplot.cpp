#include "trainer/gnuplot.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "kernels/error.h"
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
  std::array<std::string, 2> words{"gnuplot", "-d"};
  std::array<char*, 3> arguments{words[0].data(), words[1].data(), nullptr};
  pid_t process = -1;
  const int failure =
      posix_spawnp(&process, words[0].c_str(), &actions, nullptr, arguments.data(), environ);
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

std::string terminal(const std::filesystem::path& path, PictureSize size) {
  const std::string ending = path.extension().string();
  const auto command = [&](const std::string& name, double scale, const std::string& options) {
    return "set terminal " + name + " size " + std::to_string(std::lround(size.width * scale)) +
           "," + std::to_string(std::lround(size.height * scale)) + " noenhanced fontscale " +
           gnuplot_number(scale) + " linewidth " + gnuplot_number(scale) +
           " font 'DejaVu Sans,11' background '#ffffff'" + options + "\n";
  };
  if (ending == ".png") return command("pngcairo", 1.5, "");
  if (ending == ".svg") return command("svg", 1.0, " dynamic");
  throw InputError(path.string() + ": a picture's name must end with .png or .svg");
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

}  // namespace

void draw_with_gnuplot(const std::filesystem::path& path, PictureSize size,
                       std::string_view script) {
  const std::string head = "set encoding utf8\n" + terminal(path, size);
  std::array<int, 2> ends{-1, -1};
  const int paired = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data());
  Descriptor ours(paired == 0 ? ends[0] : -1);
  Descriptor theirs(ends[1]);
  const Descriptor output = memory_file("picture");
  const Descriptor errors = memory_file("errors");
  const pid_t process = spawn(theirs, output, errors);
  theirs.reset();
  send_all(ours, head);
  send_all(ours, script);
  ours.reset();
  const int status = wait_for(process);
  const std::string picture = contents(output);
  if (status != 0 || picture.empty()) {
    throw Error(path.string() + ": gnuplot could not draw the picture (" +
                last_words(contents(errors)) + ")");
  }
  write_file(path, picture);
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
