// run.html: a run on one page that needs nothing beside it, to keep or to send.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "trainer/config.h"
#include "trainer/environment.h"
#include "trainer/metrics.h"
#include "trainer/run_examples.h"

namespace cardiograd {

struct RunPage {
  RunConfig config;
  Metrics metrics;         // of the test folds
  std::int64_t epoch = 0;  // whose weights were tested
  std::int64_t parameters = 0;
  double seconds = 0.0;                // of training
  Facts facts;                         // environment.h
  std::vector<std::string> remarks{};  // such as why pictures are missing
  std::vector<RunExample> examples{};
};

// Writes RUN/run.html from the page and the pictures that lie in RUN (report.h), which it carries
// inside itself; one that is missing is left out. Throws InputError where it cannot be written.
void write_run_page(const std::filesystem::path& run, const RunPage& page);

}  // namespace cardiograd
