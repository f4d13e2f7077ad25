// Where a run computed: what someone needs who wants to get its figures again.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace cardiograd {

class Backend;

using Facts = std::vector<std::pair<std::string, std::string>>;

// Program, backends with library versions, device, processor, threads, memory, host, system, date
// (UTC), in that order; what the system does not tell is left out.
Facts describe_environment(const Backend& backend);

// Of this process, at its highest so far.
double peak_memory_megabytes();

}  // namespace cardiograd
