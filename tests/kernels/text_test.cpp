#include "kernels/text.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace cardiograd {
namespace {

TEST(Text, QuoteHidesControlCharactersAndCutsLongText) {
  EXPECT_EQ(quote("a b"), "\"a b\"");
  EXPECT_EQ(quote(std::string_view("\x1b[2J\0\x7f", 6)), "\"\\x1b[2J\\x00\\x7f\"");
  EXPECT_EQ(quote("QT-Verlängerung"), "\"QT-Verlängerung\"");
  EXPECT_EQ(quote("abcdef", 3), "\"abc...\"");
}

TEST(Text, NearestIsTheSmallestEditDistanceAndNeverAWildGuess) {
  const std::vector<std::string> names = {"form", "rhythm", "diagnostic", "superdiagnostic"};
  EXPECT_EQ(nearest("rythm", names), "rhythm");
  EXPECT_EQ(nearest("superdiagnostik", names), "superdiagnostic");
  EXPECT_EQ(nearest("from", names), "form");
  EXPECT_EQ(nearest("xyz", names), "");
  EXPECT_EQ(nearest("", names), "");
  EXPECT_EQ(nearest(std::string(100'000, 'a'), names), "") << "the work is bounded";
  EXPECT_EQ(suggestion("rythm", {"rhythm", "form"}),
            "; did you mean \"rhythm\"? Known are rhythm, form");
  EXPECT_EQ(suggestion("xyz", {"rhythm"}), "; known are rhythm");
}

TEST(Text, ShellPatternsFitTheWholeText) {
  const auto fits = [](std::string_view pattern, const std::vector<std::string>& texts) {
    return std::all_of(texts.begin(), texts.end(),
                       [&](const std::string& text) { return matches(pattern, text); });
  };
  EXPECT_TRUE(fits("conv*.weight", {"conv1.weight", "conv.weight", "conv.a.weight.b.weight"}));
  EXPECT_TRUE(fits("features.*", {"features.0.weight", "features."}));
  EXPECT_TRUE(fits("*", {"", "a", "a.b"}));
  EXPECT_TRUE(fits("fc?.*s", {"fc1.bias", "fc2.ss"}));
  EXPECT_TRUE(fits("**a*b**", {"ab", "xaxbx", "aabb"}));
  EXPECT_TRUE(matches("", ""));
  for (const char* text : {"", "conv.weight2", "xconv.weight", "conv.weigh"}) {
    EXPECT_FALSE(matches("conv*.weight", text)) << text;
  }
  EXPECT_FALSE(matches("a?", "a"));
  EXPECT_FALSE(matches("a", "A"));
  EXPECT_FALSE(matches("*a*a*a*a*a*a*a*a*a*a*b", std::string(100'000, 'a'))) << "and it ends";
}

TEST(Text, ParseNumberWantsTheWholeField) {
  int whole = 7;
  EXPECT_TRUE(parse_number("-12", whole));
  EXPECT_EQ(whole, -12);
  for (const char* field : {"", " 1", "1 ", "+1", "1.0", "0x1", "99999999999"}) {
    EXPECT_FALSE(parse_number(field, whole)) << field;
  }
  double real = 0;
  EXPECT_TRUE(parse_number("1e3", real));
  EXPECT_EQ(real, 1000);
  EXPECT_EQ(shortest_number(500.0), "500");
  EXPECT_EQ(shortest_number(0.1), "0.1");
}

}  // namespace
}  // namespace cardiograd
