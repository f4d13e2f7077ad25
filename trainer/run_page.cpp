#include "trainer/run_page.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <optional>

#include "kernels/text.h"
#include "nn/atomic_file.h"
#include "nn/input_file.h"
#include "nn/utf8.h"

namespace cardiograd {
namespace {

constexpr std::size_t most_picture_bytes = std::size_t{1} << 26;

constexpr const char* style = R"(
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1c2430; background: #f6f7f9;
  margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 68rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .7rem; border-bottom: 1px solid #d5dae1; padding-bottom: .3rem; }
.lead { color: #55606e; margin: 0; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0 0; }
.figure { background: #fff; border: 1px solid #dde2e8; border-radius: 8px; padding: .7rem 1.1rem; }
.figure b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums; }
.figure span { color: #55606e; font-size: .85rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 1rem; }
img { width: 100%; background: #fff; border: 1px solid #dde2e8; border-radius: 8px; box-sizing: border-box; }
table { border-collapse: collapse; background: #fff; border: 1px solid #dde2e8; }
th, td { padding: .35rem .9rem; text-align: right; border-top: 1px solid #edf0f3; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
table.facts td { text-align: left; }
figure { margin: 0 0 1.6rem; }
figcaption { margin: 0 0 .4rem; }
.right { color: #00704f; font-weight: 600; }
.wrong { color: #b04a00; font-weight: 600; }
pre { background: #fff; border: 1px solid #dde2e8; border-radius: 8px; padding: 1rem; overflow-x: auto; font-size: .85rem; }
.remark { color: #8a4b00; }
.wide { overflow-x: auto; }
)";

std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : valid_utf8(text)) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      default:
        html += c;
    }
  }
  return html;
}

// RFC 4648.
std::string base64(std::string_view bytes) {
  constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      text += i <= count ? letters[group >> (18 - 6 * i) & 63] : '=';
    }
  }
  return text;
}

std::string image(const std::filesystem::path& path, const std::string& what) {
  return "<img alt=\"" + escaped(what) + "\" src=\"data:image/png;base64," +
         base64(read_text(path, most_picture_bytes)) + "\">\n";
}

std::string number(const std::optional<double>& value, const char* format = "%.4f") {
  if (!value || !std::isfinite(*value)) return "–";
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, *value);
  return text.data();
}

std::string range(const std::optional<Interval>& interval) {
  return interval ? number(interval->q05) + " to " + number(interval->q95) : "–";
}

std::string figure(const std::string& value, const std::string& name) {
  return "<div class=\"figure\"><b>" + value + "</b><span>" + name + "</span></div>\n";
}

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 60) return number(seconds, "%.1f") + " s";
  const std::string minutes = std::to_string(whole / 60 % 60) + " min";
  return whole < 3600 ? minutes + " " + std::to_string(whole % 60) + " s"
                      : std::to_string(whole / 3600) + " h " + minutes;
}

std::string heading(const RunPage& page) {
  const Metrics& metrics = page.metrics;
  std::string html =
      "<h1>" + escaped(page.config.model.name) + " on " + escaped(page.config.data.task) +
      "</h1>\n<p class=\"lead\">reads " + escaped(join(page.config.data.inputs, " and ")) + " at " +
      std::to_string(page.config.data.rate) + " Hz; " + std::to_string(page.parameters) +
      " parameters; weights of epoch " + std::to_string(page.epoch) + "; trained for " +
      duration(page.seconds) + "</p>\n<div class=\"figures\">\n";
  std::string auroc = "macro AUROC";
  if (metrics.bootstrap) {
    auroc += ", 5 % to 95 %: " + range(metrics.bootstrap->macro_auroc);
  }
  html += figure(number(metrics.macro_auroc), auroc);
  html += figure(number(metrics.macro_auprc), "macro AUPRC");
  html += figure(number(metrics.macro_f1), "macro F1 at 0.5");
  html += figure(number(metrics.hit_rate), "hit rate: the likeliest class is a true one");
  html += figure(std::to_string(metrics.records), "records of the test folds") + "</div>\n";
  if (page.config.reads("notes")) {
    html +=
        "<p class=\"remark\">This model reads the clinical notes. PTB-XL's labels were derived "
        "from the reports, so much of the answer is in its input: compare it with runs on the "
        "signal alone and on the notes alone.</p>\n";
  }
  for (const std::string& remark : page.remarks) {
    html += "<p class=\"remark\">" + escaped(remark) + "</p>\n";
  }
  return html;
}

std::string pictures(const std::filesystem::path& run) {
  struct Picture {
    const char* file;
    const char* what;
  };
  constexpr std::array<Picture, 6> known{
      {{"training.png", "losses, and AUROC of the validation folds"},
       {"roc.png", "ROC of the test folds"},
       {"precision_recall.png", "precision and recall of the test folds"},
       {"class_auroc.png", "AUROC by class with bootstrap intervals"},
       {"calibration.png", "calibration"},
       {"confusion.png", "true and false positives and negatives"}}};
  std::string html;
  for (const Picture& picture : known) {
    if (std::filesystem::exists(run / picture.file))
      html += image(run / picture.file, picture.what);
  }
  return html.empty() ? "" : "<h2>Curves</h2>\n<div class=\"pictures\">\n" + html + "</div>\n";
}

std::string class_table(const Metrics& metrics) {
  std::string html =
      "<h2>Classes</h2>\n<div class=\"wide\"><table>\n<tr><th>class</th><th>AUROC</th><th>5 % to "
      "95 %</th><th>AUPRC</th><th>F1</th><th>positives</th><th>negatives</th></tr>\n";
  for (const ClassMetrics& one : metrics.classes) {
    html += "<tr><td>" + escaped(one.name) + "</td>";
    for (const std::string& cell :
         {number(one.auroc), range(one.auroc_interval), number(one.auprc), number(one.f1),
          std::to_string(one.positives), std::to_string(one.negatives)}) {
      html += "<td>" + cell + "</td>";
    }
    html += "</tr>\n";
  }
  html += "</table></div>\n";
  if (!metrics.undefined.empty()) {
    html += "<p>Left out of the macro means, because the test folds have one kind of label: " +
            escaped(join(metrics.undefined)) + ".</p>\n";
  }
  return html;
}

std::string examples(const std::vector<RunExample>& all) {
  if (all.empty()) return "";
  std::string html =
      "<h2>Examples</h2>\n<p>Records of the test folds that the model was surest about, rightly "
      "and wrongly; probabilities behind the classes.</p>\n";
  for (const RunExample& one : all) {
    html += std::string("<figure><figcaption><span class=\"") + (one.right ? "right" : "wrong") +
            "\">" + (one.right ? "right" : "wrong") + "</span> · ecg_id " +
            std::to_string(one.ecg_id) +
            " · true: " + (one.truth.empty() ? "none" : escaped(one.truth)) +
            " · predicted: " + escaped(one.predicted) +
            (one.report.empty() ? "" : "<br>report: " + escaped(one.report)) + "</figcaption>\n" +
            image(one.picture, "ECG of ecg_id " + std::to_string(one.ecg_id)) + "</figure>\n";
  }
  return html;
}

std::string fact_table(const Facts& facts) {
  std::string html = "<h2>Environment</h2>\n<div class=\"wide\"><table class=\"facts\">\n";
  for (const auto& [name, value] : facts) {
    html += "<tr><td>" + escaped(name) + "</td><td>" + escaped(value) + "</td></tr>\n";
  }
  return html + "</table></div>\n";
}

}  // namespace

void write_run_page(const std::filesystem::path& run, const RunPage& page) {
  const std::string title = escaped(page.config.model.name + " on " + page.config.data.task);
  write_file(run / "run.html",
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
             "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
                 title + "</title>\n<style>" + style + "</style>\n</head>\n<body>\n" +
                 heading(page) + class_table(page.metrics) + pictures(run) +
                 examples(page.examples) + "<h2>Config</h2>\n<pre>" +
                 escaped(to_toml(page.config)) + "</pre>\n" + fact_table(page.facts) +
                 "</body>\n</html>\n");
}

}  // namespace cardiograd
