#include "tools/bench_report.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "nn/atomic_file.h"

namespace cardiograd {

void BenchJson::give(const nlohmann::ordered_json& report) const {
  if (!wanted) return;
  if (alone()) {
    std::printf("%s\n", report.dump().c_str());
  } else {
    write_file(file, report.dump(2) + "\n");
  }
}

}  // namespace cardiograd
