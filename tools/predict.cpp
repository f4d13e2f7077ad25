// cardiograd predict --model FOLDER|FILE --record PATH...
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/utf8.h"
#include "tools/verbs.h"
#include "trainer/ecg_plot.h"
#include "trainer/predictor.h"
#include "trainer/record_notes.h"
#include "trainer/text_table.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;

struct Options {
  PredictorOptions model;
  std::vector<std::string> records;
  NoteOptions note;
  bool json = false;
  std::string plot;
  std::string layout = "3x4";
  double dpi = 177.8;
};

constexpr double called_positive = 0.5;
constexpr const char* name_mark = "{}";

std::string probability(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

void print_json(const Options& options, const Predictor& predictor, const EcgRecord& record,
                const std::vector<double>& probabilities) {
  std::vector<std::string> classes;
  for (const std::string& name : predictor.classes()) classes.push_back(valid_utf8(name));
  const nlohmann::ordered_json line{{"record", valid_utf8(record.name)},
                                    {"path", valid_utf8(record.path.string())},
                                    {"classes", classes},
                                    {"probabilities", probabilities},
                                    {"model", valid_utf8(options.model.model.string())},
                                    {"architecture", predictor.architecture()}};
  std::cout << line.dump() << '\n';
}

void print_table(const Predictor& predictor, const EcgRecord& record,
                 const std::vector<double>& probabilities) {
  std::vector<std::vector<std::string>> rows{{"class", "probability", ">= 0.5"}};
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    rows.push_back({valid_utf8(predictor.classes()[i]), probability(probabilities[i], 4),
                    probabilities[i] >= called_positive ? "yes" : "no"});
  }
  std::cout << valid_utf8(record.name) << " (" << shortest_number(record.rate) << " Hz, "
            << predictor.architecture() << ")\n"
            << aligned_table(rows);
}

// The classes in order, or of many the five most probable.
std::string remark(const Predictor& predictor, const std::vector<double>& probabilities) {
  constexpr std::size_t most = 5;
  std::vector<std::size_t> shown(probabilities.size());
  for (std::size_t i = 0; i < shown.size(); ++i) shown[i] = i;
  if (shown.size() > most) {
    std::stable_sort(shown.begin(), shown.end(), [&](std::size_t a, std::size_t b) {
      return probabilities[a] > probabilities[b];
    });
    shown.resize(most);
  }
  std::string text = predictor.architecture() + ":";
  for (const std::size_t at : shown) {
    text += "   " + predictor.classes()[at] + " " + probability(probabilities[at], 2);
  }
  return text;
}

// The picture of a record: --plot itself, with "{}" replaced by the record's name, or in a folder.
fs::path picture_path(const std::string& plot, const std::string& name) {
  if (const std::size_t at = plot.find(name_mark); at != std::string::npos) {
    return plot.substr(0, at) + name + plot.substr(at + 2);
  }
  const fs::path path = plot;
  const bool file = path.extension() == ".png" || path.extension() == ".svg";
  return file && !fs::is_directory(path) ? path : path / (name + ".png");
}

// Found before anything is computed.
std::vector<fs::path> picture_paths(const Options& options, const std::vector<fs::path>& records) {
  std::vector<fs::path> paths;
  std::set<fs::path> known;
  if (options.plot.empty()) return paths;
  for (const fs::path& record : records) {
    paths.push_back(picture_path(options.plot, record.stem().string()));
    if (known.insert(paths.back()).second) continue;
    throw InputError("--plot " + options.plot + " would draw several of the " +
                     std::to_string(records.size()) + " records to " + paths.back().string() +
                     ": name a folder, or a pattern such as pictures/{}.png, for records of "
                     "different names");
  }
  return paths;
}

void draw(const Options& options, const fs::path& path, const Predictor& predictor,
          const EcgRecord& record, const std::vector<double>& probabilities) {
  std::error_code ignored;  // writing the picture says what is wrong
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), ignored);
  plot_ecg(path, {record.millivolts, record.rate, record.name, remark(predictor, probabilities)},
           parse_ecg_layout(options.layout), options.dpi);
}

void say_what_was_assumed(const Options& options, const Predictor& predictor,
                          const std::vector<std::vector<float>>& notes) {
  if (predictor.guessed()) {
    std::fprintf(stderr, "%s: by its tensors a model %s\n", options.model.model.c_str(),
                 predictor.architecture().c_str());
  }
  if (!predictor.reads_notes()) return;
  const auto missing =
      std::count_if(notes.begin(), notes.end(), [](const auto& note) { return note.empty(); });
  if (missing > 0) {
    std::fprintf(stderr,
                 "%lld of %zu records without a note: zeros stand for what the model would read\n",
                 static_cast<long long>(missing), notes.size());
  }
}

void predict(const Options& options) {
  parse_ecg_layout(options.layout);
  const Predictor predictor(options.model);
  std::vector<fs::path> paths;
  for (const std::string& name : options.records) {
    const std::vector<fs::path> found = find_ecg_records(name);
    paths.insert(paths.end(), found.begin(), found.end());
  }
  const std::vector<fs::path> pictures = picture_paths(options, paths);
  const auto notes = notes_of(predictor, paths, options.note);
  say_what_was_assumed(options, predictor, notes);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const EcgRecord record = predictor.read(paths[i]);
    const std::vector<double> probabilities = predictor(record, notes[i]);
    if (options.json) {
      print_json(options, predictor, record, probabilities);
    } else {
      if (i > 0) std::cout << '\n';
      print_table(predictor, record, probabilities);
    }
    std::cout.flush();
    if (!pictures.empty()) draw(options, pictures[i], predictor, record, probabilities);
  }
}

}  // namespace

void add_predict(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("predict", "Probabilities of each class for single records");
  verb->add_option("--model", options->model.model,
                   "A checkpoint's or a run's folder, a .safetensors file, or PyTorch's .pt")
      ->required();
  verb->add_option("--arch", options->model.architecture,
                   "Model that weights alone belong to (trainer models lists them); absent: told "
                   "by the tensors");
  verb->add_option("--classes", options->model.classes,
                   "Classes of weights alone, comma-separated; absent: CD,HYP,MI,NORM,STTC")
      ->delimiter(',');
  verb->add_option("--record", options->records,
                   "WFDB records, with or without .hea, or folders of them")
      ->required();
  CLI::Option* text = verb->add_option("--note", options->note.text,
                                       "The record's report, for a model of hashed "
                                       "notes");
  verb->add_option("--note-embedding", options->note.embedding,
                   "The report's embedding: .pt, .npy or .safetensors with one vector; for several "
                   "records a folder with NAME.pt each")
      ->excludes(text);
  verb->add_option("--device", options->model.device, "cpu, cuda or cuda:N")->capture_default_str();
  verb->add_flag("--json", options->json, "Print one JSON object a record and nothing else");
  verb->add_option("--plot", options->plot,
                   "Draw the ECG on standard paper: FILE.png or FILE.svg; for several records a "
                   "folder, or a pattern such as pictures/{}.svg");
  verb->add_option("--layout", options->layout, "Of the picture: 3x4 or 12x1")
      ->capture_default_str();
  verb->add_option("--dpi", options->dpi, "Of a .png: 50 to 1200")->capture_default_str();
  verb->callback([options] { predict(*options); });
}

}  // namespace cardiograd
