// The verb find-lr on the command line.
#pragma once

namespace CLI {
class App;
}

namespace cardiograd {

void add_find_lr(CLI::App& app);

}  // namespace cardiograd
