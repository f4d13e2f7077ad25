// The methods of Backend (kernels/backend.h), declared as overrides. Included in the public part of
// each backend's class: an operation is added here once, and the linker names every backend that
// lacks it.
// A piece of a class, which clang-format takes for statements.
// clang-format off
  std::string name() const override;
  DType default_dtype() const override;
  void* allocate(std::size_t bytes) override;
  void deallocate(void* data, std::size_t bytes) noexcept override;
  void copy_from_host(void* device, const void* host, std::size_t bytes) override;
  void copy_to_host(void* host, const void* device, std::size_t bytes) override;
  void synchronize() override;
  void fill(View y, double value) override;
  void copy(ConstView x, View y) override;
  void cast(ConstView x, View y) override;
  void accumulate(ConstView x, View y) override;
  void scale(ConstView x, double alpha, View y) override;
  void add(ConstView a, ConstView b, View y) override;
  void multiply(ConstView a, ConstView b, View y) override;
  void slice(ConstView x, int axis, std::int64_t start, View part) override;
  void place(ConstView part, int axis, std::int64_t start, View y) override;
  void permute(ConstView x, const std::vector<int>& axes, View y) override;
  void sum(ConstView x, double alpha, View y) override;
  void expand(ConstView x, double alpha, View y) override;
  void max_forward(ConstView x, View y, View index) override;
  void max_backward(ConstView dy, ConstView index, View dx) override;
  void activation_forward(const Activation& activation, ConstView x, View y) override;
  void activation_backward(const Activation& activation, ConstView x, ConstView y, ConstView dy,
                           View dx) override;
  void softmax_forward(ConstView x, View y) override;
  void softmax_backward(ConstView y, ConstView dy, View dx) override;
  void dropout(const DropoutSpec& spec, ConstView records, ConstView x, View y) override;
  void linear_forward(ConstView x, ConstView weight, ConstView bias, View y) override;
  void linear_backward_data(ConstView dy, ConstView weight, View dx) override;
  void linear_backward_weight(ConstView x, ConstView dy, View dweight, View dbias) override;
  void conv1d_forward(const Conv1dSpec& spec, ConstView x, ConstView weight, ConstView bias,
                      View y) override;
  void conv1d_backward_data(const Conv1dSpec& spec, ConstView dy, ConstView weight,
                            View dx) override;
  void conv1d_backward_weight(const Conv1dSpec& spec, ConstView x, ConstView dy, View dweight,
                              View dbias) override;
  void conv1d_relu_maxpool_forward(const Conv1dSpec& spec, std::int64_t pool, ConstView x,
                                   ConstView weight, ConstView bias, View y, View winner) override;
  void conv1d_relu_maxpool_backward(const Conv1dSpec& spec, std::int64_t pool, ConstView x,
                                    ConstView weight, ConstView winner, ConstView dy, View dx,
                                    View dweight, View dbias) override;
  void lstm_forward(const LstmSpec& spec, ConstView x, ConstView weight_ih, ConstView weight_hh,
                    ConstView bias_ih, ConstView bias_hh, View y, View saved) override;
  std::int64_t lstm_saved_size(const LstmSpec& spec, ConstView x, std::int64_t units) override;
  void lstm_backward(const LstmSpec& spec, ConstView x, ConstView weight_ih, ConstView weight_hh,
                     View saved, ConstView dy, View dx, View dweight_ih, View dweight_hh,
                     View dbias_ih, View dbias_hh) override;
  void max_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y, View index) override;
  void max_pool1d_backward(const Pool1dSpec& spec, ConstView index, ConstView dy, View dx) override;
  void avg_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y) override;
  void avg_pool1d_backward(const Pool1dSpec& spec, ConstView dy, View dx) override;
  void adaptive_avg_pool1d_forward(ConstView x, View y) override;
  void adaptive_avg_pool1d_backward(ConstView dy, View dx) override;
  void upsample_nearest_forward(std::int64_t factor, ConstView x, View y) override;
  void upsample_nearest_backward(std::int64_t factor, ConstView dy, View dx) override;
  void attention_forward(const AttentionSpec& spec, const AttentionMasks& masks, ConstView q,
                         ConstView k, ConstView v, View y, View lse) override;
  void attention_backward(const AttentionSpec& spec, const AttentionMasks& masks, ConstView q,
                          ConstView k, ConstView v, ConstView y, ConstView lse, ConstView dy,
                          View dq, View dk, View dv) override;
  void embedding_forward(ConstView indices, ConstView weight, View y) override;
  void embedding_backward(ConstView indices, ConstView dy, View dweight) override;
  void quantize(const QuantizeSpec& spec, ConstView x, View y) override;
  void batch_norm_training_forward(const BatchNormSpec& spec, ConstView x, ConstView gamma,
                                   ConstView beta, ConstView residual, View running_mean,
                                   View running_var, View y, View mean, View inv_std) override;
  void batch_norm_training_backward(const BatchNormSpec& spec, ConstView x, ConstView gamma,
                                    ConstView mean, ConstView inv_std, ConstView y, ConstView dy,
                                    View dx, View dresidual, View dgamma, View dbeta) override;
  void batch_norm_inference_forward(const BatchNormSpec& spec, ConstView x, ConstView gamma,
                                    ConstView beta, ConstView residual, ConstView running_mean,
                                    ConstView running_var, View y) override;
  void batch_norm_inference_backward(const BatchNormSpec& spec, ConstView x, ConstView gamma,
                                     ConstView running_mean, ConstView running_var, ConstView y,
                                     ConstView dy, View dx, View dresidual, View dgamma,
                                     View dbeta) override;
  void layer_norm_forward(ConstView x, ConstView gamma, ConstView beta, double eps, View y,
                          View mean, View inv_std) override;
  void layer_norm_backward(ConstView x, ConstView gamma, ConstView mean, ConstView inv_std,
                           ConstView dy, View dx, View dgamma, View dbeta) override;
  void bce_with_logits(const BceSpec& spec, ConstView logits, ConstView targets,
                       ConstView pos_weight, View loss, View dlogits) override;
  void gradient_norm(ConstView gradients, double max_norm, View norm, View factor) override;
  void optimizer_step(const OptimizerSpec& spec, const OptimizerOperands& x) override;
  void gather_records(const GatherSpec& spec, const GatherOperands& x, View y) override;
  void wavelet_denoise(const WaveletDenoiseSpec& spec, ConstView x, View y) override;
// clang-format on
