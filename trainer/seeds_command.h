// The option --seeds of trainer fit.
#pragma once

#include <string>
#include <vector>

#include "trainer/config.h"
#include "trainer/run_folder.h"

namespace cardiograd {

// For --help.
std::string describe_seeds();
// What is wrong with the option's value; empty for nothing.
std::string check_seeds(const std::string& text);

struct SeedsArguments {
  std::string seeds;
  Start start = Start::anew;
  bool quiet = false;
  bool json = false;
};
// Trains one run a seed and prints what they have in common. Throws what fit_seeds() throws, and
// InputError for dcgan, for several processes and where an override sets train.seed as well.
void run_seeds(const RunConfig& config, const std::vector<std::string>& overrides,
               const SeedsArguments& arguments);

}  // namespace cardiograd
