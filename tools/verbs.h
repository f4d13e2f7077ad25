// The verbs of the program cardiograd: one function a verb, one file a function. Each adds its
// subcommand, with its options and what it does, to `app`; main.cpp calls them all. Errors are
// thrown as cardiograd::Error while the command line is parsed, since that is when a verb runs.
#pragma once

namespace CLI {
class App;
}

namespace cardiograd {

void add_prepare(CLI::App& app);  // packs PTB-XL into one file

}  // namespace cardiograd
