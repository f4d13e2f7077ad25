#include "nn/layer_scope.h"

#include <utility>

#include "nn/module.h"

namespace cardiograd {

namespace {

thread_local const char* current_layer = "";
thread_local Pass current_pass = Pass::none;

}  // namespace

LayerScope::LayerScope(const Module& layer) : LayerScope(layer.path()) {}

LayerScope::LayerScope(const char* path)
    : outer_(std::exchange(current_layer, path)), range_(path) {}

LayerScope::~LayerScope() { current_layer = outer_; }

const char* LayerScope::current() { return current_layer; }

std::string_view name_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return "forward";
    case Pass::backward:
      return "backward";
    case Pass::update:
      return "update";
    case Pass::none:
      break;
  }
  return "";
}

PassScope::PassScope(Pass pass)
    : outer_(std::exchange(current_pass, pass)), range_(name_of(pass).data()) {}

PassScope::~PassScope() { current_pass = outer_; }

Pass PassScope::current() { return current_pass; }

}  // namespace cardiograd
