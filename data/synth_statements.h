// The 71 SCP-ECG statements that PTB-XL uses, and how our synthetic reports word them.
#pragma once

#include <span>
#include <string_view>

namespace cardiograd {

struct SynthStatement {
  std::string_view code;
  std::string_view description;
  bool diagnostic;
  bool form;
  bool rhythm;
  std::string_view superclass;  // empty unless diagnostic
  std::string_view subclass;    // empty unless diagnostic
  std::string_view category;
  std::string_view german;   // phrase in a report; empty: reports do not mention it
  std::string_view english;  // the same
};

// In the order of PTB-XL's scp_statements.csv (Wagner et al., "PTB-XL, a large publicly available
// electrocardiography dataset", Scientific Data 7, 2020): 44 diagnostic (5 superclasses, 23
// subclasses), 19 form and 12 rhythm statements; four are both diagnostic and form.
std::span<const SynthStatement> synth_statements();

// Throws InputError for a code that is none of the 71.
const SynthStatement& synth_statement(std::string_view code);

}  // namespace cardiograd
