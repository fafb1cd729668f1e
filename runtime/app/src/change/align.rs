//! A new configuration in the numbers of the running one.

use crate::config::Site;
use penstock_engine::{EngineConfig, ProgramDef};
use penstock_model::{AlarmDef, DeviceId, Source, TagDef, TagId, TagTable};
use std::sync::Arc;

/// The engine's configuration of `new` with the ids that tags, devices and alarms have in `running`: ids follow the order
/// of files, which means nothing. Both have the same tags, devices, tasks, objects and alarms by name; `None` where they do not.
pub fn align(running: &EngineConfig, new: &Site) -> Option<EngineConfig> {
    let tag = |id: TagId| running.tags.find(&new.tags.get(id).path);
    let device = |id: DeviceId| -> Option<DeviceId> {
        let name = &new.devices.get(usize::from(id.0))?.name;
        let place = running.devices.iter().position(|d| d == name)?;
        u16::try_from(place).ok().map(DeviceId)
    };
    let mut tags = Vec::with_capacity(running.tags.len());
    for was in running.tags.iter() {
        let is = new.tags.get(new.tags.find(&was.path)?);
        let mut def = TagDef { id: was.id, ..is.clone() };
        if let Source::Device(id) = def.source {
            def.source = Source::Device(device(id)?);
        }
        if let Some(output) = &mut def.output {
            output.device = match output.device {
                Some(id) => Some(device(id)?),
                None => None,
            };
            if let Some(settle) = &mut output.write.settle {
                settle.tag = tag(settle.tag)?;
            }
        }
        tags.push(def);
    }
    let ports = |list: &[(String, TagId)]| -> Option<Vec<(String, TagId)>> {
        list.iter().map(|(port, id)| Some((port.clone(), tag(*id)?))).collect()
    };
    let program =
        |p: &ProgramDef| Some(ProgramDef { inputs: ports(&p.inputs)?, outputs: ports(&p.outputs)?, ..p.clone() });
    let alarm = |was: &AlarmDef| {
        let is = new.alarms.iter().find(|a| a.name == was.name)?;
        Some(AlarmDef { id: was.id, tag: tag(is.tag)?, ..is.clone() })
    };
    Some(EngineConfig {
        tags: Arc::new(TagTable::new(tags).ok()?),
        tasks: new.tasks.clone(),
        programs: new.programs.iter().map(program).collect::<Option<_>>()?,
        alarms: running.alarms.iter().map(alarm).collect::<Option<_>>()?,
        // As they run: a change that declares others was refused by the differences before it came here.
        objects: running.objects.clone(),
        devices: running.devices.clone(),
        entries: running.entries.clone(),
    })
}
