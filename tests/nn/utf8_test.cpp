#include "nn/utf8.h"

#include <gtest/gtest.h>

namespace cardiograd {
namespace {

TEST(Utf8, KeepsWellFormedText) {
  const char* text = "ECG: ß, €, 🫀";
  EXPECT_EQ(valid_utf8(text), text);
  EXPECT_EQ(code_points(text), 12U);
}

TEST(Utf8, ReplacesEachBrokenByte) {
  EXPECT_EQ(valid_utf8("a\xff"
                       "b"),
            "a?b");
  EXPECT_EQ(valid_utf8("\xE2\x82"), "??") << "cut short";
  EXPECT_EQ(valid_utf8("\xC0\xAF"), "??") << "overlong";
  EXPECT_EQ(valid_utf8("\xED\xA0\x80"), "???") << "a surrogate";
  EXPECT_EQ(valid_utf8("\xF4\x90\x80\x80"), "????") << "beyond U+10FFFF";
}

TEST(Utf8, ShortensBetweenCodePoints) {
  EXPECT_EQ(shortened("äöü", 3), "äöü");
  EXPECT_EQ(shortened("äöüß", 3), "äö…");
  EXPECT_EQ(shortened("ab\xff", 2), "a…");
}

}  // namespace
}  // namespace cardiograd
