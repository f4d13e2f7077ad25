#include "trainer/training_state.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {

namespace {

using nlohmann::json;

constexpr const char* format_name = "cardiograd-checkpoint";
constexpr std::int64_t first_version = 1;
constexpr std::int64_t resumable_since = 2;
constexpr std::int64_t ranks_since = 3;

// JSON has neither NaN nor infinities: null stands for NaN, a string for the others.
json encode(double value) {
  if (std::isinf(value)) return value > 0.0 ? "inf" : "-inf";
  return std::isnan(value) ? json() : json(value);
}
void decode(const json& from, double& value) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (from.is_null()) {
    value = std::nan("");
  } else if (from.is_string()) {
    const auto text = from.get<std::string>();
    if (text != "inf" && text != "-inf") {
      throw InputError("a number is " + quote(text));
    }
    value = text == "inf" ? infinity : -infinity;
  } else {
    from.get_to(value);
  }
}

json encode(const std::optional<DenoiseSpec>& value) {
  return value ? json(value->to_string()) : json();
}
void decode(const json& from, std::optional<DenoiseSpec>& value) {
  value.reset();
  if (!from.is_null()) value = parse_denoise(from.get<std::string>(), "denoise");
}

template <class T>
json encode(const T& value) {
  return value;
}
template <class T>
void decode(const json& from, T& value) {
  from.get_to(value);
}

// Both take the list of fields below, so that nothing is written that is not read.
class Writer {
 public:
  explicit Writer(json& to) : to_(to) {}
  template <class T>
  void operator()(const char* name, const T& value) {
    to_[name] = encode(value);
  }
  template <class Fields>
  void section(const char* name, const Fields& fields) {
    Writer inner(to_[name] = json::object());
    fields(inner);
  }
  bool has(std::int64_t) const { return true; }

 private:
  json& to_;
};

class Reader {
 public:
  Reader(const json& from, std::int64_t version) : from_(from), version_(version) {}
  template <class T>
  void operator()(const char* name, T& value) {
    decode(from_.at(name), value);
  }
  template <class Fields>
  void section(const char* name, const Fields& fields) {
    Reader inner(from_.at(name), version_);
    fields(inner);
  }
  bool has(std::int64_t version) const { return version_ >= version; }

 private:
  const json& from_;
  std::int64_t version_;
};

template <class Archive, class Model>
void model_fields(Archive& archive, Model& model) {
  archive("name", model.name);
  archive("classes", model.classes);
  archive("leads", model.leads);
  archive("length", model.length);
  archive("note_size", model.note_size);
  archive("dropout", model.dropout);
  archive("batch_norm", model.batch_norm);
  archive.section("transformer", [&](Archive& inner) {
    inner("layers", model.layers);
    inner("heads", model.heads);
    inner("width", model.width);
    inner("feedforward", model.feedforward);
    inner("token_stride", model.token_stride);
    inner("levels", model.levels);
    inner("amplitude", model.amplitude);
  });
}

// What came with version 2: all that a resumed run needs.
template <class Archive, class State>
void resume_fields(Archive& archive, State& state) {
  archive.section("progress", [&](Archive& inner) {
    inner("position", state.progress.position);
    inner("trained", state.progress.trained);
    inner("loss_sum", state.progress.loss_sum);
    inner("seconds", state.progress.seconds);
    inner("waited", state.progress.waited);
  });
  archive.section("best", [&](Archive& inner) {
    inner("epoch", state.best.epoch);
    inner("score", state.best.score);
  });
  archive.section("schedule", [&](Archive& inner) {
    inner("best", state.schedule.best);
    inner("bad_epochs", state.schedule.bad_epochs);
    inner("reductions", state.schedule.reductions);
  });
  archive.section("faults", [&](Archive& inner) {
    inner("skipped", state.faults.skipped);
    inner("skipped_in_row", state.faults.skipped_in_row);
    inner("rollbacks", state.faults.rollbacks);
    inner("lr_factor", state.faults.lr_factor);
  });
  archive("seconds", state.seconds);
  archive("train_examples", state.train_examples);
  archive("data", state.data);
  archive("log_bytes", state.log_bytes);
  if (archive.has(ranks_since)) archive("ranks", state.ranks);
}

template <class Archive, class State>
void all_fields(Archive& archive, State& state) {
  archive("epoch", state.epoch);
  archive("step", state.step);
  archive("seed", state.seed);
  archive("valid_loss", state.valid_loss);
  archive("valid_auroc", state.valid_auroc);
  archive("task", state.task);
  archive("classes", state.classes);
  archive.section("model", [&](Archive& inner) { model_fields(inner, state.model); });
  archive("pos_weight", state.pos_weight);
  archive("denoise", state.denoise);
  archive.section("standardisation", [&](Archive& inner) {
    inner("mean", state.standardisation.mean);
    inner("std", state.standardisation.std);
  });
  if (archive.has(resumable_since)) resume_fields(archive, state);
}

void check(const TrainingState& state) {
  const auto need = [](bool holds, const char* sentence) {
    if (!holds) throw InputError(sentence);
  };
  need(state.pos_weight.empty() || state.pos_weight.size() == state.classes.size(),
       "pos_weight does not list one number a class or none");
  const std::size_t leads = state.standardisation.mean.size();
  need((leads == 0 || leads == packed_leads) && state.standardisation.std.size() == leads,
       "standardisation does not list 12 leads or none");
  const TrainingState::Progress& progress = state.progress;
  need(state.epoch >= 0 && state.step >= 0 && progress.position >= 0 && progress.trained >= 0 &&
           progress.trained <= progress.position && progress.position <= state.train_examples &&
           state.log_bytes >= 0 && state.best.epoch >= 0 && state.ranks >= 1,
       "its counts of steps, epochs and records contradict each other");
}

// FNV-1a, 64 bits.
class Hash {
 public:
  template <class T>
  void add(std::span<const T> values) {
    for (const std::byte byte : std::as_bytes(values)) {
      value_ = (value_ ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3U;
    }
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325U;
};

}  // namespace

json to_json(const TrainingState& state) {
  json value{{"format", format_name}, {"version", state_version}};
  Writer writer(value);
  all_fields(writer, state);
  return value;
}

TrainingState training_state_from_json(const json& value, const std::string& where) {
  const std::string sentence = where + " is not the state of a checkpoint: ";
  try {
    TrainingState state;
    if (value.at("format") != format_name) {
      throw InputError("its format is not what this program writes");
    }
    value.at("version").get_to(state.version);
    if (state.version > state_version) {
      throw InputError("it was written by a newer version of this program (format " +
                       std::to_string(state.version) + ", this one reads up to " +
                       std::to_string(state_version) + "); use that one");
    }
    if (state.version < first_version) {
      throw InputError("there is no version " + std::to_string(state.version));
    }
    Reader reader(value, state.version);
    all_fields(reader, state);
    check(state);
    return state;
  } catch (const json::exception&) {
    throw InputError(sentence + "a field is missing or of another type");
  } catch (const InputError& error) {
    throw InputError(sentence + error.what());
  }
}

std::string data_fingerprint(const PackedDataset& dataset) {
  Hash hash;
  hash.add(dataset.ecg_id());
  hash.add(dataset.fold());
  hash.add(dataset.likelihood());
  char text[80];
  std::snprintf(text, sizeof text, "%lld records of %lld samples, %016llx",
                static_cast<long long>(dataset.records()), static_cast<long long>(dataset.length()),
                static_cast<unsigned long long>(hash.value()));
  return text;
}

}  // namespace cardiograd
