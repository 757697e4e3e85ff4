//! Who this device is, and what people call the others.

use serde::{Deserialize, Serialize};

use crate::{
    db::{DbError, Draft, Read, Table},
    event::{Event, Recorded},
    id::{DeviceId, VaultId},
    log::FoldError,
};

/// This device and its vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The vault.
    pub vault: VaultId,
    /// The id that this device pushes under now.
    pub device: DeviceId,
    /// What people call it.
    pub name: String,
    /// Ids that it had before. A twin may have one of them still, which never reads what this device put under
    /// it, and others may have read past that: it tells again what it owes, whatever lies there.
    pub former: Vec<DeviceId>,
}

pub(super) fn fold(event: &Recorded, draft: &mut Draft<'_>) -> Result<(), FoldError> {
    match &event.event {
        Event::LogBegun { vault, device, name } => {
            let (name, former) = (name.clone(), Vec::new());
            let identity = Identity { vault: *vault, device: *device, name, former };
            draft.put(Table::Devices, device.as_bytes(), identity.name.clone().into_bytes());
            draft.put_row(Table::Identity, &[], &identity)?;
        }
        Event::DeviceRenewed { from, to, .. } => {
            if let Some(mut identity) = identity(draft)? {
                identity.device = *to;
                identity.former.push(*from);
                draft.put(Table::Devices, to.as_bytes(), identity.name.clone().into_bytes());
                draft.put_row(Table::Identity, &[], &identity)?;
            }
        }
        Event::DeviceSeen { device, name } => {
            draft.put(Table::Devices, device.as_bytes(), name.clone().into_bytes());
        }
        _ => {}
    }
    Ok(())
}

/// This device and its vault; `None` before the first event.
///
/// # Errors
///
/// What the database said.
pub fn identity(read: &impl Read) -> Result<Option<Identity>, DbError> {
    read.row(Table::Identity, &[])
}

/// What people call a device; the start of its id where nobody said.
///
/// # Errors
///
/// What the database said.
pub fn name(read: &impl Read, device: DeviceId) -> Result<String, DbError> {
    let name = read.get(Table::Devices, device.as_bytes())?;
    Ok(name.and_then(|name| String::from_utf8(name).ok()).unwrap_or_else(|| device.short()))
}

/// Whether a device is known under this name.
///
/// # Errors
///
/// What the database said.
pub fn is_known(read: &impl Read, device: DeviceId, name: &str) -> Result<bool, DbError> {
    Ok(read.get(Table::Devices, device.as_bytes())?.as_deref() == Some(name.as_bytes()))
}
