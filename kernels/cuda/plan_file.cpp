#include "kernels/cuda/plan_file.h"

#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unistd.h>
#include <utility>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd::cuda {
namespace {

using Json = nlohmann::json;

constexpr const char* format_name = "cardiograd plans 1";
constexpr std::size_t most_bytes = std::size_t{1} << 22;
constexpr std::size_t most_plans = 20000;
constexpr std::size_t longest_text = 1000;

using Field = std::pair<const char*, std::string PlanMachine::*>;
constexpr std::array<Field, 7> fields{{{"gpu", &PlanMachine::gpu},
                                       {"capability", &PlanMachine::capability},
                                       {"driver", &PlanMachine::driver},
                                       {"cuda", &PlanMachine::cuda},
                                       {"cublaslt", &PlanMachine::cublaslt},
                                       {"cudnn", &PlanMachine::cudnn},
                                       {"cardiograd", &PlanMachine::cardiograd}}};

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
  throw InputError("the plan file " + path.string() + " " + why +
                   ": remove it, or name another one (plan_file, CARDIOGRAD_PLAN_FILE)");
}

// Steadier than std::hash, whose values may change with the library (FNV-1a).
std::uint32_t hash_of(const PlanMachine& machine) {
  std::uint32_t hash = 2166136261U;
  for (const auto& [name, member] : fields) {
    for (const char letter : machine.*member + "\n") {
      hash = (hash ^ static_cast<unsigned char>(letter)) * 16777619U;
    }
  }
  return hash;
}

std::string file_name(const PlanMachine& machine) {
  std::string name = "plans-";
  for (const char letter : machine.gpu) {
    const auto byte = static_cast<unsigned char>(letter);
    name += std::isalnum(byte) != 0 ? static_cast<char>(std::tolower(byte)) : '-';
  }
  std::array<char, 16> digits{};
  static_cast<void>(std::snprintf(digits.data(), digits.size(), "-%08x", hash_of(machine)));
  return name + digits.data() + ".json";
}

// A text of bounded length; null where the member is anything else.
const std::string* text_in(const Json& object, const char* member) {
  const auto found = object.find(member);
  if (found == object.end() || !found->is_string()) return nullptr;
  const auto* text = found->get_ptr<const std::string*>();
  return text->size() <= longest_text ? text : nullptr;
}

// Reads at most a little more than is allowed, so that a device or a pipe cannot fill the memory.
std::string contents_of(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) refuse(path, "is not a regular file");
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path, std::string("cannot be read (") + std::strerror(errno) + ")");
  std::string text(most_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > most_bytes) refuse(path, "is larger than 4 MiB");
  return text;
}

void check_machine(const std::filesystem::path& path, const Json& whole,
                   const PlanMachine& machine) {
  const auto found = whole.find("machine");
  if (found == whole.end() || !found->is_object()) refuse(path, "names no machine");
  for (const auto& [name, member] : fields) {
    const std::string* text = text_in(*found, name);
    if (text == nullptr) refuse(path, std::string("does not name its machine's ") + name);
    if (*text != machine.*member) {
      refuse(path, "was timed with " + std::string(name) + " " + quote(*text) + ", here it is " +
                       quote(machine.*member));
    }
  }
}

PlanRecord record_of(const std::filesystem::path& path, const std::string& key, const Json& plan) {
  const auto wrong = [&](const std::string& what) {
    refuse(path, "is damaged: the plan " + quote(key) + " has no proper " + what);
  };
  if (key.size() > longest_text || !plan.is_object()) wrong("form");
  PlanRecord record;
  const std::string* candidate = text_in(plan, "candidate");
  if (candidate == nullptr) wrong("candidate");
  record.candidate = *candidate;
  const auto time = plan.find("milliseconds");
  if (time == plan.end() || !time->is_number()) wrong("milliseconds");
  record.milliseconds = time->get<double>();
  if (!std::isfinite(record.milliseconds) || record.milliseconds < 0.0) wrong("milliseconds");
  const auto left_out = plan.find("left_out");
  if (left_out == plan.end()) return record;
  if (!left_out->is_object()) wrong("left_out");
  for (const auto& [name, reason] : left_out->items()) {
    if (!reason.is_string()) wrong("left_out");
    record.left_out[name] = reason.get<std::string>();
  }
  return record;
}

Json json_of(const PlanMachine& machine, const PlanRecords& records) {
  Json whole{{"format", format_name}, {"machine", Json::object()}, {"plans", Json::object()}};
  for (const auto& [name, member] : fields) whole["machine"][name] = machine.*member;
  for (const auto& [key, record] : records) {
    Json plan{{"candidate", record.candidate}, {"milliseconds", record.milliseconds}};
    if (!record.left_out.empty()) {
      plan["left_out"] = Json::object();
      for (const auto& [name, reason] : record.left_out) {
        plan["left_out"][name] = reason.substr(0, longest_text);
      }
    }
    whole["plans"][key] = std::move(plan);
  }
  return whole;
}

bool write_synced(const std::string& name, const std::string& text) {
  const int file = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file < 0) return false;
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(file, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    done += static_cast<std::size_t>(count);
  }
  const bool complete = done == text.size() && ::fsync(file) == 0;
  const int code = errno;
  ::close(file);
  errno = code;
  return complete;
}

}  // namespace

std::optional<std::filesystem::path> plan_file_path(const PlanMachine& machine,
                                                    const std::string& chosen) {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (chosen == "off") return std::nullopt;
  if (!chosen.empty()) return chosen;
  std::filesystem::path folder = variable("XDG_CACHE_HOME");
  if (folder.empty()) {
    folder = variable("HOME");
    if (folder.empty()) return std::nullopt;
    folder /= ".cache";
  }
  return folder / "cardiograd" / file_name(machine);
}

PlanRecords read_plans(const std::filesystem::path& path, const PlanMachine& machine) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return {};
  const Json whole = Json::parse(contents_of(path), nullptr, false);
  if (!whole.is_object()) refuse(path, "is no JSON object");
  const std::string* format = text_in(whole, "format");
  if (format == nullptr || *format != format_name) {
    refuse(path, std::string("is not of the format \"") + format_name + "\"");
  }
  check_machine(path, whole, machine);
  const auto plans = whole.find("plans");
  if (plans == whole.end() || !plans->is_object()) refuse(path, "holds no plans");
  if (plans->size() > most_plans) {
    refuse(path, "holds more than " + std::to_string(most_plans) + " plans");
  }
  PlanRecords records;
  for (const auto& [key, plan] : plans->items()) records[key] = record_of(path, key, plan);
  return records;
}

void write_plans(const std::filesystem::path& path, const PlanMachine& machine,
                 const PlanRecords& records) {
  // Messages of libraries may hold bytes that are no UTF-8.
  const std::string text =
      json_of(machine, records).dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  const std::string temporary = path.string() + ".tmp-" + std::to_string(::getpid());
  std::error_code error;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  if (!write_synced(temporary, text) || ::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string why = std::strerror(errno);
    ::unlink(temporary.c_str());
    throw InputError("cannot write the plan file " + path.string() + " (" + why +
                     "): name another one (plan_file, CARDIOGRAD_PLAN_FILE), or off for none");
  }
}

void keep_in_file(PlanCache& cache, const std::filesystem::path& path, const PlanMachine& machine,
                  const PlanCache::Say& say) {
  try {
    cache.remember(read_plans(path, machine));
  } catch (const InputError& error) {
    say(std::string(error.what()) + "; plans are timed anew and not kept");
    return;
  }
  cache.when_changed([path, machine, say, usable = true](const PlanRecords& records) mutable {
    if (!usable) return;
    try {
      PlanRecords all = records;
      all.merge(read_plans(path, machine));
      write_plans(path, machine, all);
    } catch (const InputError& error) {
      usable = false;
      say(std::string(error.what()) + "; plans of this run are not kept");
    }
  });
}

}  // namespace cardiograd::cuda
