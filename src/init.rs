//! Seeded initial weights.
