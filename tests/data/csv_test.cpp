#include "data/csv.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;

TEST(Csv, RowsKnowTheLineOnWhichTheyBegin) {
  const CsvTable table = CsvTable::parse(
      "\xef\xbb\xbfid,text\r\n"
      "1,\"two\nlines, a comma and \"\"quotes\"\"\"\r\n"
      "\n"
      "2, blanks stay \n"
      "3,",
      "t.csv");
  EXPECT_EQ(table.columns(), (std::vector<std::string>{"id", "text"}));
  ASSERT_EQ(table.rows(), 3U);
  EXPECT_EQ(table.line(0), 2);
  EXPECT_EQ(table.field(0, 1), "two\nlines, a comma and \"quotes\"");
  EXPECT_EQ(table.line(1), 5);
  EXPECT_EQ(table.field(1, table.column("text")), " blanks stay ");
  EXPECT_EQ(table.line(2), 6);
  EXPECT_EQ(table.field(2, 0), "3");
  EXPECT_EQ(table.field(2, 1), "");
  EXPECT_EQ(table.place(2), "t.csv, line 6: ");
}

TEST(Csv, AHeaderAloneIsATableWithoutRows) {
  EXPECT_EQ(CsvTable::parse("a,b\n", "t.csv").rows(), 0U);
}

TEST(Csv, ErrorsNameFileAndLine) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"", "t.csv is empty; its header line is missing"},
      {"\n\n", "t.csv is empty; its header line is missing"},
      {"a,b\n1,2\n3,\"four\n5,6\n",
       "t.csv, line 3: a quoted field that begins in this row is never closed"},
      {"a,b\n1,2\n3,x\"y\n",
       "t.csv, line 3: a quote stands where none may be; write it twice inside a quoted field"},
      {"a,b\n1,\"x\"y\n",
       "t.csv, line 2: a quote stands where none may be; write it twice inside a quoted field"},
      {"a,b\n1,\"2\n2\"\n3\n", "t.csv, line 4: the row has 1 fields, but the header line has 2"},
      {"a,b\n1,2,3\n", "t.csv, line 2: the row has 3 fields, but the header line has 2"},
      {"a,a\n", "t.csv, line 1: the column \"a\" stands twice"},
  };
  for (const auto& [text, error] : cases) {
    EXPECT_EQ(error_of([&] { CsvTable::parse(text, "t.csv"); }), error) << text;
  }
  const CsvTable table = CsvTable::parse("age,sex\n", "t.csv");
  EXPECT_EQ(error_of([&] { table.column("agee"); }),
            "t.csv has no column \"agee\"; did you mean \"age\"? Known are age, sex");
}

TEST(Csv, WrittenFieldsReadBack) {
  const std::string odd = "a \"quoted\", odd\nfield";
  const CsvTable table = CsvTable::parse("x\n" + csv_field(odd) + "\n", "t.csv");
  EXPECT_EQ(table.field(0, 0), odd);
  EXPECT_EQ(csv_field("plain"), "plain");
}

}  // namespace
}  // namespace cardiograd
