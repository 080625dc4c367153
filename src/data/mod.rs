//! Data sets, splits and scalers.
