// cardiograd plot: the pictures of a run, drawn from the files that it left.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace cardiograd {

struct PictureKind {
  std::string name;     // "roc"
  std::string summary;  // one line for --help
};
// Without "all".
const std::vector<PictureKind>& picture_kinds();

// `source`: a run's folder, its metrics.jsonl, or the seed's metrics.pt. `out`: FILE.png or
// FILE.svg. `kind`: a name of picture_kinds(); "all": each kind that the source has, written to
// FILE-KIND.png; "": training, or loss where the source has no AUROC. Returns the files written.
// Throws InputError where the source is none of these or does not hold what the kind needs, and the
// errors of trainer/gnuplot.h.
std::vector<std::filesystem::path> draw_run(const std::filesystem::path& source,
                                            const std::filesystem::path& out,
                                            const std::string& kind);

}  // namespace cardiograd
