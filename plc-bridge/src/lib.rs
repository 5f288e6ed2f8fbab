//! plc-bridge
