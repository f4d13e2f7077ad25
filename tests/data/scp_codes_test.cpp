#include "data/scp_codes.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using Codes = std::vector<std::pair<std::string, double>>;
constexpr const char* where = "ptbxl_database.csv, line 7";

TEST(ScpCodes, ReadsWhatPythonWrites) {
  EXPECT_EQ(parse_scp_codes("{}", where), Codes{});
  EXPECT_EQ(parse_scp_codes(" { } ", where), Codes{});
  EXPECT_EQ(parse_scp_codes("{'NORM': 100.0, 'LVOLT': 0.0, 'SR': 0.0}", where),
            (Codes{{"NORM", 100}, {"LVOLT", 0}, {"SR", 0}}));
  EXPECT_EQ(parse_scp_codes("{\"a'b\":1,'c\\'d\\\\\\x41\\n' : -2.5e1\t, 'e':+.5,}", where),
            (Codes{{"a'b", 1}, {"c'd\\A\n", -25}, {"e", 0.5}}));
}

TEST(ScpCodes, ErrorsNamePlaceAndCharacter) {
  const std::string begin = std::string(where) + ": scp_codes is no list of statements: ";
  const struct {
    std::string text;
    std::string error;
  } cases[] = {
      {"", begin + "\"{\" is expected at character 1 of \"\""},
      {"{'a': 1", begin + "\",\" is expected at character 8 of \"{'a': 1\""},
      {"{'a' 1}", begin + "\":\" is expected at character 6 of \"{'a' 1}\""},
      {"{'a: 1}", begin + "a closing quote is expected at character 8 of \"{'a: 1}\""},
      {"{a: 1}", begin + "a statement in quotes is expected at character 2 of \"{a: 1}\""},
      {"{,}", begin + "a statement in quotes is expected at character 2 of \"{,}\""},
      {"{'a': }", begin + "a number is expected at character 7 of \"{'a': }\""},
      {"{'a': nan}", begin + "a number is expected at character 7 of \"{'a': nan}\""},
      {"{'a': 1e999}", begin + "a number is expected at character 7 of \"{'a': 1e999}\""},
      {"{'a': 1-2}", begin + "a number is expected at character 7 of \"{'a': 1-2}\""},
      {"{'a': +-2}", begin + "a number is expected at character 7 of \"{'a': +-2}\""},
      {"{'a': 1} x", begin + "the end is expected at character 10 of \"{'a': 1} x\""},
      {"{'\\q': 1}", begin + "a known escape is expected at character 4 of \"{'\\q': 1}\""},
      {"{'\\x9", begin + "a number below 80 of two hexadecimal digits is expected at character 5 "
                         "of \"{'\\x9\""},
      {"{'\\", begin + "a character after the backslash is expected at character 4 of \"{'\\\""},
      {"{'a': 1, 'a': 2}", std::string(where) + ": scp_codes names \"a\" twice"},
  };
  for (const auto& [text, error] : cases) {
    EXPECT_EQ(testing::error_of([&] { parse_scp_codes(text, where); }), error) << text;
  }
}

}  // namespace
}  // namespace cardiograd
