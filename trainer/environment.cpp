#include "trainer/environment.h"

#include <array>
#include <cmath>
#include <ctime>
#include <fstream>
#include <omp.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kernels/backend.h"

namespace cardiograd {
namespace {

// The value of the first line "KEY : VALUE" of a file of /proc; "" where there is none.
std::string value_of(const char* file, std::string_view key) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const std::size_t colon = line.find(':');
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    if (colon != std::string::npos && begin != std::string::npos) return line.substr(begin);
  }
  return "";
}

std::string now_in_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts);
  return text.data();
}

}  // namespace

Facts describe_environment(const Backend& backend) {
  Facts facts{{"version", "cardiograd " CARDIOGRAD_VERSION},
              {"backend", describe_backend(backend)},
              {"device", backend.name()}};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) facts.emplace_back(name, value);
  };
  add("processor", value_of("/proc/cpuinfo", "model name"));
  add("threads", std::to_string(omp_get_max_threads()));
  const double bytes =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  add("memory", std::to_string(std::lround(bytes / (1 << 30))) + " GiB");
  utsname system{};
  if (uname(&system) == 0) {
    add("host", system.nodename);
    add("system", std::string(system.sysname) + " " + system.release + " " + system.machine);
  }
  add("date", now_in_utc());
  return facts;
}

double peak_memory_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024.0 / 1e6;
}

}  // namespace cardiograd
