//! vCenter: session, inventory, wire models.
