// The verbs of `cardiograd`: each adds its subcommand, one file a verb.
#pragma once

namespace CLI {
class App;
}

namespace cardiograd {

void add_bench(CLI::App& app);
void add_compare(CLI::App& app);
void add_convert(CLI::App& app);
void add_info(CLI::App& app);
void add_plot(CLI::App& app);
void add_predict(CLI::App& app);
void add_prepare(CLI::App& app);
void add_score(CLI::App& app);
void add_synth(CLI::App& app);

}  // namespace cardiograd
