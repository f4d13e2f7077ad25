// What the planner asks of a device, on the emulator.
#include "kernels/cuda/planner.h"
#include "tests/emulator/machine_state.h"

namespace cardiograd::cuda {

bool is_capturing(Stream) { return emulator::is_capturing(); }

PlanMachine machine_of(int) {
  PlanMachine machine;
  machine.gpu = "emulator";
  machine.capability = "0.0";
  machine.driver = "none";
  machine.cuda = "none";
  return machine;
}

}  // namespace cardiograd::cuda
