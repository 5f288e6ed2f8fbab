//! vision-models
