#include "nn/unpickler.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <utility>

#include "kernels/text.h"

namespace cardiograd {

namespace {

// Far beyond what training leaves behind, and little enough for any machine's memory.
constexpr std::size_t most_values = std::size_t{1} << 22;
constexpr int deepest = 64;
// A value may stand in several places, but not so that walking over it takes for ever.
constexpr std::uint64_t most_visits_per_byte = 16;
constexpr std::uint64_t most_visits = 4 * std::uint64_t{most_values};

}  // namespace

Unpickler::Unpickler(std::span<const std::byte> bytes, std::string name, FindStorage find_storage,
                     std::uint64_t most_tensor_bytes)
    : bytes_(bytes),
      name_(std::move(name)),
      find_storage_(std::move(find_storage)),
      most_tensor_bytes_(most_tensor_bytes) {}

// A pickle can put a list into itself, or nest a million of them. Emptying each one that is no part
// of the result breaks cycles, and keeps destructors from recursing.
Unpickler::~Unpickler() {
  std::sort(reached_.begin(), reached_.end());
  const auto dismantle = [this](auto& containers) {
    for (const auto& container : containers) {
      if (!std::binary_search(reached_.begin(), reached_.end(),
                              static_cast<const void*>(container.get()))) {
        container->clear();
      }
    }
  };
  dismantle(sequences_);
  dismantle(dicts_);
}

void Unpickler::fail(const std::string& sentence) const { throw InputError(name_ + sentence); }

void Unpickler::damaged(const std::string& how) const {
  fail(" is damaged: at byte " + std::to_string(at_) + " its pickle " + how);
}

TorchValue Unpickler::run() {
  for (;;) {
    const auto opcode = static_cast<unsigned char>(take(1)[0]);
    if (opcode == '.') break;
    if (!run_scalar(opcode) && !run_container(opcode) && !run_stack(opcode) &&
        !run_object(opcode)) {
      refuse_opcode(opcode);
    }
  }
  TorchValue result = pop();
  try {
    check(result, 0);
  } catch (...) {
    reached_.clear();  // nothing of it is kept
    throw;
  }
  return result;
}

std::span<const std::byte> Unpickler::take(std::uint64_t count) {
  if (count > bytes_.size() - at_) damaged("ends early");
  const auto part = bytes_.subspan(at_, static_cast<std::size_t>(count));
  at_ += part.size();
  return part;
}

std::uint64_t Unpickler::take_unsigned(std::size_t bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, take(bytes).data(), bytes);
  return value;
}

std::string Unpickler::take_text(std::size_t length_bytes) {
  const auto text = take(take_unsigned(length_bytes));
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

std::string Unpickler::take_line() {
  const auto* begin = reinterpret_cast<const char*>(bytes_.data());
  const std::string_view rest(begin + at_, bytes_.size() - at_);
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) damaged("ends early");
  at_ += end + 1;
  return std::string(rest.substr(0, end));
}

void Unpickler::push(TorchValue value) {
  if (++pushed_ > most_values) {
    fail(" holds more than " + std::to_string(most_values) +
         " numbers and strings outside its tensors; save them as a tensor");
  }
  stack_.push_back(std::move(value));
}

TorchValue& Unpickler::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) {
    damaged("takes a value that is not there");
  }
  return stack_.back();
}

TorchValue Unpickler::pop() {
  TorchValue value = std::move(top());
  stack_.pop_back();
  return value;
}

Unpickler::Items Unpickler::pop_to_mark() {
  if (marks_.empty()) damaged("takes a mark that is not there");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  Items items(std::make_move_iterator(first), std::make_move_iterator(stack_.end()));
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

std::vector<TorchEntry> Unpickler::pop_entries() {
  Items items = pop_to_mark();
  if (items.size() % 2 != 0) damaged("has a key without a value");
  Entries entries;
  entries.reserve(items.size() / 2);
  for (std::size_t i = 0; i < items.size(); i += 2) {
    entries.push_back({std::move(items[i]), std::move(items[i + 1])});
  }
  return entries;
}

TorchValue Unpickler::new_sequence(TorchKind kind, Items items) {
  sequences_.push_back(std::make_shared<Items>(std::move(items)));
  return {kind, sequences_.back()};
}

TorchValue Unpickler::new_dict(Entries entries) {
  dicts_.push_back(std::make_shared<Entries>(std::move(entries)));
  return {TorchKind::dict, dicts_.back()};
}

// A little-endian two's complement number of `length` bytes.
void Unpickler::push_integer(std::uint64_t length) {
  if (length > 8) fail(" holds an integer of more than 64 bits, which this reader does not take");
  if (length == 0) return push(TorchValue::integer(0));
  const auto bits = static_cast<int>(8 * length);
  const std::uint64_t raw = take_unsigned(static_cast<std::size_t>(length)) << (64 - bits);
  push(TorchValue::integer(static_cast<std::int64_t>(raw) >> (64 - bits)));
}

bool Unpickler::run_scalar(unsigned char opcode) {
  const auto text = [this](TorchKind kind, std::size_t length_bytes) {
    push(TorchValue::text(kind, take_text(length_bytes)));
    return true;
  };
  switch (opcode) {
    case 'N':
      push({});
      return true;
    case 0x88:
    case 0x89:
      push(TorchValue::boolean(opcode == 0x88));
      return true;
    case 'J':
      push_integer(4);
      return true;
    case 'K':
      push(TorchValue::integer(static_cast<std::int64_t>(take_unsigned(1))));
      return true;
    case 'M':
      push(TorchValue::integer(static_cast<std::int64_t>(take_unsigned(2))));
      return true;
    case 0x8a:
    case 0x8b:
      push_integer(take_unsigned(opcode == 0x8a ? 1 : 4));
      return true;
    case 'G':  // big-endian
      push(TorchValue::number(std::bit_cast<double>(__builtin_bswap64(take_unsigned(8)))));
      return true;
    case 'X':
    case 'T':  // str of Python 2
      return text(TorchKind::string, 4);
    case 0x8c:
    case 'U':
      return text(TorchKind::string, 1);
    case 0x8d:
      return text(TorchKind::string, 8);
    case 'B':
      return text(TorchKind::bytes, 4);
    case 'C':
      return text(TorchKind::bytes, 1);
    case 0x8e:
    case 0x96:
      return text(TorchKind::bytes, 8);
    default:
      return false;
  }
}

bool Unpickler::run_container(unsigned char opcode) {
  switch (opcode) {
    case ']':
      push(new_sequence(TorchKind::list, {}));
      return true;
    case ')':
      push(new_sequence(TorchKind::tuple, {}));
      return true;
    case '}':
      push(new_dict({}));
      return true;
    case 'l':
    case 't':
      push(new_sequence(opcode == 'l' ? TorchKind::list : TorchKind::tuple, pop_to_mark()));
      return true;
    case 'd':
      push(new_dict(pop_entries()));
      return true;
    case 0x85:
    case 0x86:
    case 0x87: {
      Items items(static_cast<std::size_t>(opcode - 0x84));
      for (auto item = items.rbegin(); item != items.rend(); ++item) *item = pop();
      push(new_sequence(TorchKind::tuple, std::move(items)));
      return true;
    }
    case 'a':
      append({pop()});
      return true;
    case 'e':
      append(pop_to_mark());
      return true;
    case 's': {
      TorchValue value = pop();
      TorchValue key = pop();
      set_items({{std::move(key), std::move(value)}});
      return true;
    }
    case 'u':
      set_items(pop_entries());
      return true;
    default:
      return false;
  }
}

void Unpickler::append(Items items) {
  const TorchValue& target = top();
  if (!target.is(TorchKind::list)) damaged("appends to what is no list");
  Items& list = *std::get<std::shared_ptr<Items>>(target.data_);
  list.insert(list.end(), std::make_move_iterator(items.begin()),
              std::make_move_iterator(items.end()));
}

void Unpickler::set_items(Entries entries) {
  const TorchValue& target = top();
  if (!target.is(TorchKind::dict)) damaged("sets a key of what is no dict");
  Entries& dict = *std::get<std::shared_ptr<Entries>>(target.data_);
  dict.insert(dict.end(), std::make_move_iterator(entries.begin()),
              std::make_move_iterator(entries.end()));
}

bool Unpickler::run_stack(unsigned char opcode) {
  switch (opcode) {
    case 0x80:
      if (const std::uint64_t protocol = take_unsigned(1); protocol > 5) {
        fail(" is a pickle of protocol " + std::to_string(protocol) +
             ", but this reader takes 2 to 5; save it with torch.save's own protocol");
      }
      return true;
    case 0x95:  // a frame: its length helps those who read from a pipe
      take_unsigned(8);
      return true;
    case '(':
      if (marks_.size() == most_values) damaged("sets marks without end");
      marks_.push_back(stack_.size());
      return true;
    case '0':
      pop();
      return true;
    case '1':
      pop_to_mark();
      return true;
    case '2':
      push(top());
      return true;
    case 'h':
      get(take_unsigned(1));
      return true;
    case 'j':
      get(take_unsigned(4));
      return true;
    case 'q':
      put(take_unsigned(1));
      return true;
    case 'r':
      put(take_unsigned(4));
      return true;
    case 0x94:
      put(memo_.size());
      return true;
    default:
      return false;
  }
}

// Every pickler numbers its memo from 0 without gaps: other numbers would only cost memory.
void Unpickler::put(std::uint64_t index) {
  if (index > memo_.size() || index >= most_values) {
    damaged("remembers a value as number " + std::to_string(index) + " after " +
            std::to_string(memo_.size()) + " others");
  }
  if (index == memo_.size()) {
    memo_.push_back(top());
  } else {
    memo_[static_cast<std::size_t>(index)] = top();
  }
}

void Unpickler::get(std::uint64_t index) {
  if (index >= memo_.size()) {
    damaged("asks for remembered value " + std::to_string(index) + " of " +
            std::to_string(memo_.size()));
  }
  push(memo_[static_cast<std::size_t>(index)]);
}

bool Unpickler::run_object(unsigned char opcode) {
  switch (opcode) {
    case 'c': {
      const std::string module = take_line();
      push_global(module + "." + take_line());
      return true;
    }
    case 0x93: {
      const TorchValue global = pop();
      const TorchValue module = pop();
      if (!global.is(TorchKind::string) || !module.is(TorchKind::string)) {
        damaged("names a global by what is no string");
      }
      push_global(module.as_string() + "." + global.as_string());
      return true;
    }
    case 'Q':
      push_storage();
      return true;
    case 'R':
      reduce();
      return true;
    case 'b':
      build();
      return true;
    default:
      return false;
  }
}

void Unpickler::refuse_opcode(unsigned char opcode) const {
  switch (opcode) {
    case 0x8f:
    case 0x90:
    case 0x91:
      fail(" holds a set, which this reader does not take; save a list instead");
    case 'i':
    case 'o':
    case 0x81:
    case 0x92:
      fail(
          " holds an object of a Python class, which this reader does not build; save its "
          "state_dict instead");
    default:
      damaged("has the opcode " + std::to_string(opcode) + ", which torch.save does not write");
  }
}

// Walks over the result as its readers will: each place where a value stands counts.
void Unpickler::check(const TorchValue& value, int depth) {
  if (value.is(TorchKind::object)) {
    fail(
        " holds a storage or a function outside a tensor, which this reader does not take; save "
        "tensors instead");
  }
  if (++visited_ > std::min(most_visits, most_visits_per_byte * (bytes_.size() + 64))) {
    fail(" repeats its lists and dicts until they are far larger than the file");
  }
  const bool sequence = value.is(TorchKind::list) || value.is(TorchKind::tuple);
  if (!sequence && !value.is(TorchKind::dict)) return;
  if (depth == deepest) {
    fail(" nests lists and dicts deeper than " + std::to_string(deepest) +
         " levels, or puts one into itself");
  }
  if (sequence) {
    reached_.push_back(std::get<std::shared_ptr<Items>>(value.data_).get());
    for (const TorchValue& item : value.items()) check(item, depth + 1);
    return;
  }
  const Entries& entries = *std::get<std::shared_ptr<Entries>>(value.data_);
  reached_.push_back(&entries);
  for (const TorchEntry& entry : entries) {
    check(entry.key, depth + 1);
    check(entry.value, depth + 1);
  }
  check_keys(entries);
}

void Unpickler::check_keys(const Entries& entries) const {
  std::set<std::string_view> strings;
  std::set<std::int64_t> integers;
  for (const TorchEntry& entry : entries) {
    if (entry.key.is(TorchKind::string) && !strings.insert(entry.key.as_string()).second) {
      fail(" has a dict with two entries " + quote(entry.key.as_string()));
    }
    if (entry.key.is(TorchKind::integer) && !integers.insert(entry.key.as_integer()).second) {
      fail(" has a dict with two entries " + std::to_string(entry.key.as_integer()));
    }
  }
}

}  // namespace cardiograd
