// The scp_codes column of ptbxl_database.csv: a Python dict literal, statement -> likelihood.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cardiograd {

// Parses "{'NORM': 100.0, "SR": 0}": keys in single or double quotes with Python's escapes for
// quotes, backslash, \n, \t, \r and \xNN; numbers as Python writes integers and floats; blanks
// anywhere between; an empty dict and a comma before the closing brace are allowed. Entries come in
// the order of the text. Throws InputError "WHERE: scp_codes ... at character N" for anything else
// and for a key that stands twice; `where` names file and line.
std::vector<std::pair<std::string, double>> parse_scp_codes(std::string_view text,
                                                            const std::string& where);

}  // namespace cardiograd
