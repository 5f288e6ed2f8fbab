//! the line
