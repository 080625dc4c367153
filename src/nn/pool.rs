//! Pooling of images.
use crate::{
    kernels::{cpu, float::Real, pool::Windows},
    nn::gradients::apply_op1,
    Error,
};
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Module, Result, Shape, Tensor};

/// Max-pooling: each output is the largest input of a window.
///
/// ```text
/// y[b, c, s, t] = max_{i,j < kernel} x[b, c, stride · s + i, stride · t + j]
/// ```
///
/// Inputs have the shape `(rows, channels, height, width)` and any floating-point type; outputs have the shape
/// `(rows, channels, new height, new width)` with `new height = (height − kernel) / stride + 1`, rounded down, and the
/// same type. Use it after a convolution, where it does not matter exactly where in the window a pattern was found.
///
/// It is for models in which candle's [`Tensor::max_pool2d`] is called: its outputs are the same. Of candle's operation,
/// the gradient is divided by the number of elements of a window, and there is none where windows overlap. Here the
/// gradient is that of PyTorch, with any stride: the largest input of a window gets it, the first of equal ones. On the
/// CPU it is one operation.
///
/// # Errors
/// The forward pass fails for inputs with another number of dimensions, or smaller than the window.
///
/// # Source
/// Ranzato, Boureau and LeCun 2007, "Sparse feature learning for deep belief networks".
///
/// ```
/// use candle_core::{Device::Cpu, Module, Tensor};
/// use candle_ensemble::nn::MaxPool2d;
///
/// let x = Tensor::new(&[[[[1f32, 5., 2., 0.], [3., 4., 8., 1.]]]], &Cpu)?;
/// assert_eq!(MaxPool2d::new(2).forward(&x)?.flatten_all()?.to_vec1::<f32>()?, [5., 8.]);
/// assert_eq!(MaxPool2d::new(2).stride(1).forward(&x)?.flatten_all()?.to_vec1::<f32>()?, [5., 8., 8.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d {
    kernel: usize,
    stride: usize,
}

impl MaxPool2d {
    /// Windows of `kernel` by `kernel` elements, side by side.
    #[must_use]
    pub fn new(kernel: usize) -> Self {
        Self { kernel, stride: kernel }
    }

    /// Sets the distance of the windows.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// In tensor operations, for devices other than the CPU. Windows side by side are a dimension of their own.
    fn by_tensors(self, x: &Tensor, [rows, columns]: [usize; 2]) -> Result<Tensor> {
        let Self { kernel, stride } = self;
        if stride != kernel {
            return x.max_pool2d_with_stride(kernel, stride);
        }
        let (batch, channels, ..) = x.dims4()?;
        let x = x.narrow(2, 0, rows * kernel)?.narrow(3, 0, columns * kernel)?.contiguous()?;
        x.reshape(&[batch, channels, rows, kernel, columns, kernel][..])?.max(5)?.max(3)
    }
}

impl Module for MaxPool2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Self { kernel, stride } = *self;
        let windows = match x.dims() {
            [_, _, height, width] => Windows::new(*height, *width, [kernel; 2], [stride; 2]),
            _ => None,
        };
        let Some(windows) = windows else {
            let (what, got) = ("the shape of the inputs of MaxPool2d", format!("{:?}", x.dims()));
            let must = match kernel.min(stride) {
                0 => format!(
                    "pooled with a kernel and a stride of at least 1, and not with {kernel} and {stride}"
                ),
                _ => {
                    format!("(rows, channels, height, width) with a height and a width of at least {kernel}")
                }
            };
            return Err(Error::invalid(what, must, got).into());
        };
        if !x.device().is_cpu() {
            return self.by_tensors(x, windows.outputs());
        }
        match x.dtype() {
            DType::F32 | DType::F64 => apply_op1(&x.contiguous()?, Largest(windows)),
            dtype => x.to_dtype(DType::F32)?.contiguous()?.apply_op1(Largest(windows))?.to_dtype(dtype),
        }
    }
}

/// The largest elements of windows.
struct Largest(Windows);

impl Largest {
    fn values<T: Real>(&self, x: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
        Ok(T::to_cpu_storage_owned(self.0.max(cpu::storage_slice::<T>(x, layout)?)))
    }

    fn gradient<T: Real>(&self, x: &Tensor, g: &Tensor) -> Result<Tensor> {
        let gradient =
            cpu::with_slice(&x.detach(), |x: &[T]| cpu::with_slice(g, |g: &[T]| self.0.gradient(x, g)))??;
        Tensor::from_vec(gradient, x.shape(), &Device::Cpu)
    }
}

impl CustomOp1 for Largest {
    fn name(&self) -> &'static str {
        "max-pooling"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, ..) = layout.shape().dims4()?;
        let y = match x {
            CpuStorage::F64(_) => self.values::<f64>(x, layout)?,
            _ => self.values::<f32>(x, layout)?,
        };
        let [rows, columns] = self.0.outputs();
        Ok((y, (batch, channels, rows, columns).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(match x.dtype() {
            DType::F64 => self.gradient::<f64>(x, g)?,
            _ => self.gradient::<f32>(x, g)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{
        backward,
        testing::{assert_slopes, flat, gradients, numbers},
    };
    use candle_core::Var;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn outputs_are_those_of_candle(
            rows in 0usize..3, channels in 1usize..4, kernel in 1usize..4, stride in 1usize..4,
            more in prop::array::uniform2(0usize..6),
        ) {
            let shape = (rows, channels, kernel + more[0], kernel + more[1]);
            let layer = MaxPool2d::new(kernel).stride(stride);
            for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
                let x = numbers(shape, 1, dtype);
                let (y, exact) = (layer.forward(&x).unwrap(), x.max_pool2d_with_stride(kernel, stride).unwrap());
                prop_assert_eq!((y.dtype(), y.dims(), flat(&y)), (dtype, exact.dims(), flat(&exact)));
                let view = x.transpose(2, 3).unwrap();
                let exact = exact.transpose(2, 3).unwrap();
                prop_assert_eq!(flat(&layer.forward(&view).unwrap()), flat(&exact));
            }
        }

        /// On other devices the gradient is that of the maximum of a dimension.
        #[test]
        fn gradients_are_those_of_tensor_operations(kernel in 1usize..4, more in prop::array::uniform2(0usize..9)) {
            let x = Var::from_tensor(&numbers((2, 3, kernel + more[0], kernel + more[1]), 1, DType::F64)).unwrap();
            let layer = MaxPool2d::new(kernel);
            let y = layer.forward(&x).unwrap();
            let (_, _, rows, columns) = y.dims4().unwrap();
            let other = layer.by_tensors(&x, [rows, columns]).unwrap();
            prop_assert_eq!(flat(&y), flat(&other));
            let [ours, theirs] = [&y, &other].map(|y| flat(&gradients(y, &[&x], backward)[0]));
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        for (dtype, step, tolerance) in [(DType::F64, 1e-6, 1e-7), (DType::F32, 1e-3, 2e-2)] {
            for (kernel, stride) in [(2, 2), (3, 1), (2, 3)] {
                let x = Var::from_tensor(&numbers((2, 2, 6, 5), 3, dtype)).unwrap();
                let y = || MaxPool2d::new(kernel).stride(stride).forward(&x).unwrap();
                assert_slopes(&[&x], y, (step, tolerance), &format!("{dtype:?} {kernel} {stride}"));
            }
        }
    }

    /// The reason why the layer exists. Where this fails, the documentation has to change.
    #[test]
    fn candle_divides_the_gradient_by_the_size_of_the_window() {
        let x = Var::new(&[[[[1f32, 2.], [4., 3.]]]], &Device::Cpu).unwrap();
        let gradient = |y: Tensor| flat(y.sum_all().unwrap().backward().unwrap().get(&x).unwrap());
        assert_eq!(gradient(x.max_pool2d(2).unwrap()), [0., 0., 0.25, 0.]);
        assert_eq!(gradient(MaxPool2d::new(2).forward(&x).unwrap()), [0., 0., 1., 0.]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        for shape in [&[2, 3, 1, 5][..], &[3, 5, 5]] {
            let e = MaxPool2d::new(2).forward(&numbers(shape, 1, DType::F32)).unwrap_err().to_string();
            assert!(
                e.contains("the shape of the inputs of MaxPool2d must be (rows, channels, height, width)"),
                "{e}"
            );
        }
        let e = MaxPool2d::new(2).stride(0).forward(&numbers((1, 1, 3, 3), 1, DType::F32)).unwrap_err();
        assert!(e.to_string().contains("a kernel and a stride of at least 1"), "{e}");
    }
}
