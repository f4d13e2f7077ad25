#include "trainer/launch.h"

#include <algorithm>
#include <array>
#include <optional>
#include <sched.h>
#include <string_view>
#include <unistd.h>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {

namespace {

using Variables = std::map<std::string, std::string>;

constexpr int most_ranks = 1 << 20;

std::optional<std::string> find(const Variables& environment, const std::string& name) {
  const auto found = environment.find(name);
  if (found == environment.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

// A whole number from low to high, or nothing where the variable is unset.
std::optional<int> find_number(const Variables& environment, const std::string& name, int low,
                               int high) {
  const std::optional<std::string> text = find(environment, name);
  if (!text) return std::nullopt;
  int value = 0;
  if (!parse_number(*text, value) || value < low || value > high) {
    throw InputError("environment variable " + name + " is " + quote(*text) +
                     ", but a whole number from " + std::to_string(low) + " to " +
                     std::to_string(high) + " is needed: set it right, or unset it");
  }
  return value;
}

int number(const Variables& environment, const std::string& name, int low, int high,
           const std::string& because) {
  const std::optional<int> value = find_number(environment, name, low, high);
  if (value) return *value;
  throw InputError("environment variable " + name + " is not set, but " + because +
                   " is: set both, or unset both");
}

// Which variables of a launcher say what.
struct Names {
  const char* size;
  const char* rank;
  const char* local_rank;
  const char* local_size;
};
constexpr Names mpirun_names{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK",
                             "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"};
constexpr Names srun_names{"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", ""};
constexpr Names common_names{"WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"};

Launch read(const Variables& environment, Launcher launcher, const Names& names) {
  Launch launch;
  launch.launcher = launcher;
  launch.size = number(environment, names.size, 1, most_ranks, names.rank);
  launch.rank = number(environment, names.rank, 0, launch.size - 1, names.size);
  if (launch.alone()) return launch;
  launch.local_rank = number(environment, names.local_rank, 0, launch.size - 1, names.size);
  launch.local_size =
      find_number(environment, names.local_size, 1, launch.size).value_or(launch.size);
  if (launch.local_rank >= launch.local_size) {
    throw InputError(std::string("environment variable ") + names.local_rank + " is " +
                     std::to_string(launch.local_rank) + ", but " + names.local_size + " says " +
                     std::to_string(launch.local_size) + " ranks on this machine");
  }
  return launch;
}

// SLURM_STEP_TASKS_PER_NODE: "2(x3),1" means 2, 2, 2, 1.
int tasks_of_node(const std::string& text, int node) {
  const std::string wrong =
      "environment variable SLURM_STEP_TASKS_PER_NODE is " + quote(text) + ", but ";
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view entry = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
    const std::size_t bracket = entry.find("(x");
    int tasks = 0;
    int nodes = 1;
    bool good = parse_number(entry.substr(0, bracket), tasks) && tasks > 0;
    if (good && bracket != std::string_view::npos) {
      const std::string_view repeat = entry.substr(bracket + 2);
      good = repeat.ends_with(')') && parse_number(repeat.substr(0, repeat.size() - 1), nodes);
    }
    if (!good || nodes < 1) throw InputError(wrong + "a list such as 8(x2),4 is needed");
    if (node < nodes) return tasks;
    node -= nodes;
  }
  throw InputError(wrong + "SLURM_NODEID names a node behind its end");
}

Launch read_srun(const Variables& environment) {
  Launch launch = read(environment, Launcher::srun, srun_names);
  const std::optional<std::string> tasks = find(environment, "SLURM_STEP_TASKS_PER_NODE");
  if (launch.alone() || !tasks) return launch;
  const int node = number(environment, "SLURM_NODEID", 0, most_ranks, "SLURM_STEP_TASKS_PER_NODE");
  launch.local_size = std::max(tasks_of_node(*tasks, node), launch.local_rank + 1);
  return launch;
}

// RANK and WORLD_SIZE beside another launcher's variables must say the same.
void check_agreement(const Variables& environment, const Launch& launch) {
  const std::array<std::pair<const char*, int>, 2> pairs{
      {{common_names.size, launch.size}, {common_names.rank, launch.rank}}};
  for (const auto& [name, told] : pairs) {
    const std::optional<int> value = find_number(environment, name, 0, most_ranks);
    if (value && *value != told) {
      throw InputError(std::string("environment variable ") + name + " is " +
                       std::to_string(*value) + ", but " + name_of(launch.launcher) + " says " +
                       std::to_string(told) + ": unset " + name);
    }
  }
}

void read_master(const Variables& environment, Launch& launch) {
  const std::optional<int> port = find_number(environment, "MASTER_PORT", 1, 65534);
  const std::optional<std::string> address = find(environment, "MASTER_ADDR");
  if (!port || !address) return;
  launch.master_address = *address;
  const bool taken = find(environment, "TORCHELASTIC_USE_AGENT_STORE") == "True";
  launch.master_port = *port + (taken ? 1 : 0);
}

}  // namespace

std::string name_of(Launcher launcher) {
  switch (launcher) {
    case Launcher::mpirun:
      return "mpirun";
    case Launcher::srun:
      return "srun";
    case Launcher::environment:
      return "the launcher that set RANK and WORLD_SIZE";
    case Launcher::none:
      break;
  }
  return "nobody";
}

Launch detect_launch(const Variables& environment) {
  Launch launch;
  const auto is_set = [&](const char* name) { return find(environment, name).has_value(); };
  // mpirun starts its helpers by srun inside a Slurm job: Slurm's variables then describe those.
  if (is_set(mpirun_names.size) || is_set(mpirun_names.rank)) {
    launch = read(environment, Launcher::mpirun, mpirun_names);
    check_agreement(environment, launch);
  } else if (is_set(srun_names.size)) {
    launch = read_srun(environment);
    check_agreement(environment, launch);
  } else if (is_set(common_names.size) || is_set(common_names.rank)) {
    launch = read(environment, Launcher::environment, common_names);
  }
  if (!launch.alone()) read_master(environment, launch);
  return launch;
}

Launch detect_launch() {
  Variables environment;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view entry = *each;
    const std::size_t end = entry.find('=');
    if (end == std::string_view::npos) continue;
    environment.emplace(entry.substr(0, end), entry.substr(end + 1));
  }
  return detect_launch(environment);
}

CpuSet cpus_of_this_process() {
  CpuSet result;
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) == 0) result.machine = host.data();
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return result;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &allowed)) result.cpus.push_back(cpu);
  }
  return result;
}

int fair_thread_count(const std::vector<CpuSet>& ranks, std::size_t rank) {
  const CpuSet& mine = ranks.at(rank);
  double share = 0.0;
  for (const int cpu : mine.cpus) {
    const auto users = std::count_if(ranks.begin(), ranks.end(), [&](const CpuSet& other) {
      return other.machine == mine.machine &&
             std::find(other.cpus.begin(), other.cpus.end(), cpu) != other.cpus.end();
    });
    share += 1.0 / static_cast<double>(users);
  }
  constexpr double rounding = 1e-6;  // thirds of a CPU add up to a little less than one
  return std::max(1, static_cast<int>(share + rounding));
}

}  // namespace cardiograd
