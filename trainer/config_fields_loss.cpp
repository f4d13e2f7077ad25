// The keys of the section loss (BceSpec in kernels/backend.h gives formulas and papers).
#include "trainer/config_fields.h"

namespace cardiograd {

std::vector<ConfigField> loss_fields() {
  using C = RunConfig;
  using Slot = ConfigSlot;
  const auto number = [](const char* name, const char* meaning, double C::Loss::*member,
                         double most) {
    return ConfigField{std::string("loss.") + name,
                       meaning,
                       [member](C& c) -> Slot { return &(c.loss.*member); },
                       {},
                       0,
                       most};
  };
  return {
      {"loss.name",
       "binary cross-entropy of each class, or a form that weighs it by how sure the model is",
       [](C& c) -> Slot { return &c.loss.name; },
       {"bce", "focal", "asymmetric"}},
      number("smoothing", "targets become t (1 - smoothing) + smoothing / 2", &C::Loss::smoothing,
             0.999),
      number("gamma", "focal: exponent", &C::Loss::gamma, 100),
      number("alpha", "focal: weight of positives; of negatives 1 - alpha", &C::Loss::alpha, 1),
      number("gamma_positive", "asymmetric: exponent of positives", &C::Loss::gamma_positive, 100),
      number("gamma_negative", "asymmetric: exponent of negatives", &C::Loss::gamma_negative, 100),
      number("margin", "asymmetric: taken off the probability of negatives", &C::Loss::margin,
             0.999),
  };
}

}  // namespace cardiograd
