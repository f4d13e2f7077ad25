#include "tests/support/run_program.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string_view>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace cardiograd::testing {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// One end of a pipe, closed with the scope.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }
  bool open() const { return number_ >= 0; }
  void reset(int number) {
    close();
    number_ = number;
  }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_;
};

struct Pipe {
  Descriptor read;
  Descriptor write;
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe");
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

// argv and envp, made before fork: a child of a threaded process may not allocate.
class StringTable {
 public:
  explicit StringTable(std::vector<std::string> strings) : strings_(std::move(strings)) {
    for (std::string& each : strings_) pointers_.push_back(each.data());
    pointers_.push_back(nullptr);
  }
  char* const* data() const { return pointers_.data(); }

 private:
  std::vector<std::string> strings_;
  std::vector<char*> pointers_;
};

std::vector<std::string> environment_with(const std::map<std::string, std::string>& added) {
  std::vector<std::string> result;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view entry = *each;
    if (!added.count(std::string(entry.substr(0, entry.find('='))))) result.emplace_back(entry);
  }
  for (const auto& [name, value] : added) result.push_back(name + "=" + value);
  return result;
}

// Runs in the child: only calls that are safe after fork. Reports errno through `failure`.
[[noreturn]] void become(const char* program, const StringTable& arguments,
                         const StringTable& environment, const char* directory, int in, int out,
                         int err, int failure) {
  signal(SIGPIPE, SIG_DFL);  // an ignored signal would stay ignored in the program
  if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0 &&
      (directory[0] == '\0' || chdir(directory) == 0)) {
    execve(program, arguments.data(), environment.data());
  }
  const int reason = errno;
  const ssize_t written = write(failure, &reason, sizeof(reason));
  _exit(written == sizeof(reason) ? 127 : 126);
}

// Appends what is there to text; closes the descriptor at the end of the stream.
void drain(Descriptor& from, std::string& text) {
  std::array<char, 65536> buffer;
  const ssize_t count = read(from.get(), buffer.data(), buffer.size());
  if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
  if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) from.close();
}

// Writes what the pipe takes; closes it when all is written or nobody reads.
void feed(Descriptor& to, std::string_view& rest) {
  const ssize_t count = write(to.get(), rest.data(), rest.size());
  if (count > 0) rest.remove_prefix(static_cast<std::size_t>(count));
  if (rest.empty() || (count < 0 && errno != EINTR && errno != EAGAIN)) to.close();
}

// Moves bytes until the program closes both outputs or its time is up; true in the first case.
bool exchange(Descriptor& in, Descriptor& out, Descriptor& err, std::string_view input,
              double seconds, ProgramResult& result) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(seconds));
  if (input.empty()) in.close();
  while (out.open() || err.open()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) return false;
    std::array<pollfd, 3> watched{
        {{in.get(), POLLOUT, 0}, {out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}}};
    if (poll(watched.data(), watched.size(), static_cast<int>(left.count())) < 0) {
      if (errno == EINTR) continue;
      fail("poll");
    }
    if (in.open() && watched[0].revents != 0) feed(in, input);
    if (out.open() && watched[1].revents != 0) drain(out, result.out);
    if (err.open() && watched[2].revents != 0) drain(err, result.err);
  }
  return true;
}

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) fail("waitpid");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

ProgramResult run_program(const std::filesystem::path& program,
                          const std::vector<std::string>& arguments,
                          const ProgramOptions& options) {
  const std::filesystem::path path =
      program.has_parent_path() ? program : std::filesystem::path(CARDIOGRAD_BUILD_DIR) / program;
  std::vector<std::string> words{path.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const StringTable argument_table(words);
  const StringTable environment_table(environment_with(options.environment));
  const std::string directory = options.directory.string();
  signal(SIGPIPE, SIG_IGN);  // a program that ends without reading its input is no error of ours

  Pipe in;
  Pipe out;
  Pipe err;
  Pipe failure;
  if (fcntl(in.write.get(), F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    become(path.c_str(), argument_table, environment_table, directory.c_str(), in.read.get(),
           out.write.get(), err.write.get(), failure.write.get());
  }
  in.read.close();
  out.write.close();
  err.write.close();
  failure.write.close();

  if (options.started) options.started(child);
  ProgramResult result;
  const bool ended =
      exchange(in.write, out.read, err.read, options.input, options.timeout_seconds, result);
  if (!ended) kill(child, SIGKILL);
  result.exit_code = wait_for(child);
  int reason = 0;
  if (read(failure.read.get(), &reason, sizeof(reason)) == sizeof(reason)) {
    throw std::system_error(reason, std::generic_category(), "cannot run " + path.string());
  }
  return result;
}

}  // namespace cardiograd::testing
