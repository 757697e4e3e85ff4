//! One device, and two that meet.

use std::sync::Arc;

use everleaf::remote::{Memory, Remote};

use crate::{image::png, world::Device};

fn memory() -> Arc<dyn Remote> {
    Arc::new(Memory::new())
}

#[tokio::test]
async fn two_devices_that_edit_one_paragraph_offline_end_up_the_same() {
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.add_public(&remote, Some("https://img.example")).await;
    laptop.file("crumb.png", &png(40, 30, b"crumb"));
    let bread = laptop.note("# Bread\n\nFlour and water.\n\n![Crumb](crumb.png)\n");
    laptop.sync(&remote).await;

    let phone = Device::join("phone", 2, &laptop);
    phone.add(&remote).await;
    phone.sync(&remote).await;
    assert_eq!(phone.source(bread), laptop.source(bread));

    laptop.edit(bread, |text| text.replace("Flour", "Rye flour"));
    phone.edit(bread, |text| text.replace("water.", "water, salt."));
    let walk = phone.note("# Walk\n");
    laptop.sync(&remote).await;
    phone.sync(&remote).await;
    laptop.sync(&remote).await;
    assert_eq!(
        laptop.source(bread),
        "# Bread\n\nRye flour and water, salt.\n\n![Crumb](crumb.png)\n"
    );
    assert_eq!(laptop.sources(), phone.sources());
    assert_eq!(phone.source(walk), "# Walk\n");
    let idle = laptop.sync(&remote).await;
    assert_eq!((idle.requests.head, idle.requests.list, idle.requests.get), (1, 0, 0));
    laptop.check();
    phone.check();
}
