//! The queues of the fair and the real-time class as the kernel keeps them, for whoever checks them.

use trace::event::Addr;
use trace::state::{FairNode, FairQueue, RtQueue};
use trace::target::{Target, Unreadable};
use trace::value::Value;

use super::fields::queue_of;
use super::links::{in_order, list};
use super::{Inspector, MAX_RT_PRIO, MOST_TASKS};

/// Groups in groups: more than any guest has.
const MOST_LEVELS: u32 = 16;

impl Inspector<'_> {
    /// The fair class's queue of a runqueue.
    pub(super) fn fair_queue(
        &self,
        target: &dyn Target,
        rq: Addr,
    ) -> Result<Option<FairQueue>, Unreadable> {
        let Some(fields) = &self.fields.queues else {
            return Ok(None);
        };
        let cfs_rq = Addr(rq.0.wrapping_add(fields.cfs.offset));
        self.cfs_rq(target, cfs_rq, MOST_LEVELS)
    }

    fn cfs_rq(
        &self,
        target: &dyn Target,
        at: Addr,
        levels: u32,
    ) -> Result<Option<FairQueue>, Unreadable> {
        let Some(fields) = &self.fields.queues else {
            return Ok(None);
        };
        let number = |field| Value::of(target, at, field);
        let curr = number(fields.curr)?.addr();
        let curr = match curr {
            Addr(0) => None,
            se => Some(self.node(target, se, levels)?),
        };
        let root = number(fields.root)?.addr();
        let nodes = in_order(target, root, self.fields.rb_left, self.fields.rb_right)?;
        let tree = nodes
            .into_iter()
            .map(|node| self.node(target, self.se_of(node), levels))
            .collect::<Result<_, _>>()?;
        let leftmost = number(fields.leftmost)?.addr();
        Ok(Some(FairQueue {
            nr_running: number(fields.nr_running)?.u32(),
            h_nr_running: number(fields.h_nr_running)?.u32(),
            min_vruntime: number(fields.min_vruntime)?.u64(),
            avg_vruntime: number(fields.avg_vruntime)?.i64(),
            avg_load: number(fields.avg_load)?.i64(),
            load: number(fields.load)?.u64(),
            curr,
            tree,
            leftmost: (leftmost.0 != 0).then(|| self.se_of(leftmost).0),
        }))
    }

    /// The entity of a node of the tree.
    fn se_of(&self, node: Addr) -> Addr {
        Addr(node.0.wrapping_sub(self.fields.entity.run_node.offset))
    }

    fn node(&self, target: &dyn Target, se: Addr, levels: u32) -> Result<FairNode, Unreadable> {
        let entity = &self.fields.entity;
        let number = |field| Value::of(target, se, field);
        let run_node = Addr(se.0.wrapping_add(entity.run_node.offset));
        let below = |field| -> Result<Option<u64>, Unreadable> {
            let child = Value::of(target, run_node, field)?.addr();
            Ok((child.0 != 0).then(|| self.se_of(child).0))
        };
        let mut node = FairNode {
            addr: se.0,
            on_rq: number(entity.on_rq)?.u32(),
            weight: number(entity.weight)?.u64(),
            vruntime: number(entity.vruntime)?.u64(),
            deadline: 0,
            min_vruntime: 0,
            below: [below(self.fields.rb_left)?, below(self.fields.rb_right)?],
            group: None,
        };
        if let Some(fields) = &self.fields.queues {
            node.deadline = number(fields.se_deadline)?.u64();
            node.min_vruntime = number(fields.se_min_vruntime)?.u64();
            let group = fields.my_q.map(|my_q| number(my_q).map(Value::addr));
            if let (Some(group), true) = (group.transpose()?, levels > 0)
                && group.0 != 0
            {
                node.group = self.cfs_rq(target, group, levels - 1)?.map(Box::new);
            }
        }
        Ok(node)
    }

    /// The real-time class's queue of a runqueue.
    pub(super) fn rt_queue(
        &self,
        target: &dyn Target,
        rq: Addr,
    ) -> Result<Option<RtQueue>, Unreadable> {
        let (Some(fields), Some((queues, _))) = (&self.fields.queues, self.fields.rt_queues) else {
            return Ok(None);
        };
        let rt = Addr(rq.0.wrapping_add(fields.rt.offset));
        let number = |field| Value::of(target, rt, field);
        let bitmap = Addr(rt.0.wrapping_add(fields.bitmap.offset));
        let mut lists = Vec::new();
        for prio in 0..MAX_RT_PRIO {
            let head = queue_of(rq.0.wrapping_add(queues.offset), prio);
            let len = list(target, head, MOST_TASKS)?.len() as u32;
            if len > 0 {
                lists.push((prio as u32, len));
            }
        }
        let pushable = match fields.pushable {
            Some((head, link)) => {
                let head = Addr(rt.0.wrapping_add(head.offset));
                let links = list(target, head, MOST_TASKS)?.into_iter();
                Some(links.map(|at| at.0.wrapping_sub(link.offset)).collect())
            }
            None => None,
        };
        Ok(Some(RtQueue {
            bitmap: [
                target.read_u64(bitmap)?,
                target.read_u64(Addr(bitmap.0 + 8))?,
            ],
            lists,
            highest_prio: number(fields.highest_prio)?.i32(),
            nr_running: number(fields.rt_nr_running)?.u32(),
            queued: number(fields.rt_queued)?.u32() != 0,
            pushable,
        }))
    }
}
