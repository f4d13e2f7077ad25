// The ECG on paper is true to scale, and shows what the record holds.
#include "trainer/ecg_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "kernels/error.h"
#include "tests/support/temp_folder.h"
#include "trainer/gnuplot.h"

namespace cardiograd {
namespace {

using cardiograd::testing::error_of;
using cardiograd::testing::read_file;
using cardiograd::testing::TempFolder;

using Points = std::vector<std::pair<double, double>>;

// Of every polyline in an SVG, in millimetres from the upper left corner of the page.
Points points_of(const std::string& svg) {
  constexpr double units_per_mm = 10.0;
  Points points;
  for (std::size_t at = svg.find_first_of("ML"); at != std::string::npos;
       at = svg.find_first_of("ML", at + 1)) {
    char* end = nullptr;
    const double x = std::strtod(svg.c_str() + at + 1, &end);
    if (end == svg.c_str() + at + 1 || *end != ',') continue;
    points.emplace_back(x / units_per_mm, std::strtod(end + 1, nullptr) / units_per_mm);
  }
  return points;
}

bool contains(const Points& points, double x, double y) {
  return std::any_of(points.begin(), points.end(), [&](const auto& point) {
    return std::abs(point.first - x) < 0.02 && std::abs(point.second - y) < 0.02;
  });
}

class EcgPlot : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      draw_with_gnuplot(folder_ / "probe.svg", {100, 100}, "plot x\n");
    } catch (const DeviceError& error) {
      GTEST_SKIP() << error.what();
    }
  }
  // 10 s at 100 Hz of 0 mV.
  EcgPlot() : signal_(1000 * 12, 0.0F) {}
  float& at(int sample, int lead) { return signal_[static_cast<std::size_t>(sample * 12 + lead)]; }
  std::string svg(EcgLayout layout, const std::string& remark = "") {
    plot_ecg(folder_ / "a.svg", {signal_, 100.0, "00001_lr", remark}, layout);
    return read_file(folder_ / "a.svg");
  }

  TempFolder folder_;
  std::vector<float> signal_;
};

TEST_F(EcgPlot, ASecondIs25MillimetresAndAMillivolt10) {
  at(50, 0) = 2.0F;    // lead I at 0.5 s
  at(300, 3) = -1.0F;  // aVR at 3 s
  at(900, 11) = 0.5F;  // V6 at 9 s
  at(700, 1) = 1.5F;   // II at 7 s: in the rhythm strip alone
  at(100, 8) = 3.0F;   // V3 at 1 s: V3 is shown from 5 s on
  const std::string picture = svg(EcgLayout::three_by_four);
  EXPECT_NE(picture.find("width=\"297mm\" height=\"210mm\""), std::string::npos);
  EXPECT_NE(picture.find("viewBox=\"0 0 2970 2100\""), std::string::npos);
  const Points points = points_of(picture);
  // Baselines of the rows lie 47, 87, 127 and 167 mm below the edge; 0 s is 28.5 mm from the left.
  EXPECT_TRUE(contains(points, 28.5 + 12.5, 47.0 - 20.0));
  EXPECT_TRUE(contains(points, 28.5 + 75.0, 47.0 + 10.0));
  EXPECT_TRUE(contains(points, 28.5 + 225.0, 127.0 - 5.0));
  EXPECT_TRUE(contains(points, 28.5 + 175.0, 167.0 - 15.0));
  EXPECT_FALSE(contains(points, 28.5 + 175.0, 87.0 - 15.0));
  EXPECT_FALSE(contains(points, 28.5 + 25.0, 127.0 - 30.0));
}

TEST_F(EcgPlot, TwelveRowsShowEveryLeadForTenSeconds) {
  for (int lead = 0; lead < 12; ++lead) at(100 + 70 * lead, lead) = 4.0F;
  const Points points = points_of(svg(EcgLayout::twelve_by_one));
  for (int lead = 0; lead < 12; ++lead) {
    // 40 mm up: across two rows, as on paper; the uppermost rows end at the edge of the grid, 13 mm
    // below that of the page.
    const double top = 23.0 + 15.0 * lead - 40.0;
    if (top < 13.0) continue;
    EXPECT_TRUE(contains(points, 33.5 + 25.0 * (1.0 + 0.7 * lead), top)) << lead;
  }
}

TEST_F(EcgPlot, EachRowHasAPulseOfOneMillivoltAnd5Millimetres) {
  const Points four = points_of(svg(EcgLayout::three_by_four));
  for (const double baseline : {47.0, 87.0, 127.0, 167.0}) {
    EXPECT_TRUE(contains(four, 18.5, baseline)) << baseline;
    EXPECT_TRUE(contains(four, 18.5, baseline - 10.0)) << baseline;
    EXPECT_TRUE(contains(four, 23.5, baseline - 10.0)) << baseline;
    EXPECT_TRUE(contains(four, 23.5, baseline)) << baseline;
  }
  const Points twelve = points_of(svg(EcgLayout::twelve_by_one));
  for (int row = 0; row < 12; ++row) {
    EXPECT_TRUE(contains(twelve, 24.5, 13.0 + 15.0 * row)) << row;
    EXPECT_TRUE(contains(twelve, 29.5, 13.0 + 15.0 * row)) << row;
  }
}

TEST_F(EcgPlot, MissingSamplesAreGaps) {
  for (int sample = 600; sample < 700; ++sample) {
    at(sample, 1) = std::numeric_limits<float>::quiet_NaN();
  }
  at(599, 1) = at(700, 1) = 0.3F;
  const Points points = points_of(svg(EcgLayout::three_by_four));
  EXPECT_TRUE(contains(points, 28.5 + 149.75, 164.0));
  EXPECT_FALSE(contains(points, 28.5 + 162.5, 167.0)) << "nothing is drawn in the gap";
  EXPECT_TRUE(contains(points, 28.5 + 175.0, 164.0)) << "the line begins anew at 7 s";
}

TEST_F(EcgPlot, SaysWhatAReaderMustKnow) {
  const std::string picture = svg(EcgLayout::three_by_four, "mmcnn_cat: <NORM> & 'MI'");
  for (const std::string& name : ecg_lead_names()) {
    EXPECT_NE(picture.find("<text>" + name + "</text>"), std::string::npos) << name;
  }
  EXPECT_NE(picture.find("25 mm/s"), std::string::npos);
  EXPECT_NE(picture.find("10 mm/mV"), std::string::npos);
  EXPECT_NE(picture.find("100 Hz"), std::string::npos);
  EXPECT_NE(picture.find("00001_lr"), std::string::npos);
  EXPECT_NE(picture.find("mmcnn_cat: &lt;NORM> &amp; ’MI’"), std::string::npos);
  EXPECT_EQ(picture.find(":Bold"), std::string::npos);
}

// Big-endian, at a byte of the file.
unsigned long png_number(const std::string& png, std::size_t at) {
  unsigned long value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(png[at + i]);
  return value;
}

TEST_F(EcgPlot, APngSaysHowLargeItPrints) {
  plot_ecg(folder_ / "a.png", {signal_, 100.0, "x", ""}, EcgLayout::three_by_four, 254.0);
  const std::string png = read_file(folder_ / "a.png");
  EXPECT_EQ(png_number(png, 16), 2970U) << "pixels of 297 mm at 10 a millimetre";
  EXPECT_EQ(png_number(png, 20), 2100U);
  EXPECT_EQ(png.substr(33 + 4, 4), "pHYs");
  EXPECT_EQ(png_number(png, 41), 10000U) << "pixels a metre";
  EXPECT_EQ(png_number(png, 45), 10000U);
  EXPECT_EQ(png[49], 1);
  EXPECT_EQ(png_number(png, 50), 0x94695119UL) << "CRC-32 of the chunk, as zlib computes it";
  EXPECT_EQ(png.find("pHYs", 50), std::string::npos);
}

TEST_F(EcgPlot, ShortAndLongRecordsAreDrawnAsFarAsTheyGo) {
  signal_.resize(12 * 30);
  EXPECT_NE(svg(EcgLayout::three_by_four), "");
  signal_.clear();
  EXPECT_NE(svg(EcgLayout::twelve_by_one), "");
  signal_.assign(12 * 3000, 0.0F);
  for (const auto& [x, y] : points_of(svg(EcgLayout::twelve_by_one))) ASSERT_LE(x, 283.6);
}

TEST(EcgPlotErrors, AreSentences) {
  EXPECT_EQ(parse_ecg_layout("12x1"), EcgLayout::twelve_by_one);
  EXPECT_EQ(error_of([] { parse_ecg_layout("6x2"); }),
            "the layout of an ECG is 3x4 or 12x1, not \"6x2\"");
  const std::vector<float> signal(12, 0.0F);
  EXPECT_EQ(error_of([&] {
              plot_ecg("a.gif", {signal, 100, "", ""}, EcgLayout::twelve_by_one);
            }),
            "a.gif: a picture's name must end with .png or .svg");
  EXPECT_EQ(error_of([&] {
              plot_ecg("a.png", {signal, 100, "", ""}, EcgLayout::twelve_by_one, 20);
            }),
            "a.png: a picture has 50 to 1200 dpi, not 20");
}

}  // namespace
}  // namespace cardiograd
