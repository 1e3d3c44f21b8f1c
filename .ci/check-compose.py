"""Checks deploy/compose/compose.yaml, as the Compose parser understands it (JSON on standard input), for what
its README promises. Prints each fault; exit 1 on any."""
import json
import os
import sys


def faults(project, directory):
    services = project.get("services", {})
    if not services:
        yield "no service"
    for name, s in services.items():
        if s.get("cap_drop") != ["ALL"] or s.get("cap_add") or s.get("privileged"):
            yield f"{name}: must drop all capabilities and add none"
        if "no-new-privileges:true" not in s.get("security_opt", []):
            yield f"{name}: must have no-new-privileges"
        if s.get("network_mode") or s.get("pid") or s.get("ipc"):
            yield f"{name}: must keep namespaces of its own"
        tag = s.get("image", "").rpartition(":")[2]
        if tag in ("", "latest") or "/" in tag:
            yield f"{name}: its image must have a tag other than latest"
        ours = s.get("image", "").startswith("s1stream:")
        if ours and not s.get("read_only"):
            yield f"{name}: its root must be read-only"
        if ours and not os.path.exists(os.path.join(s["build"]["context"], "Dockerfile")):
            yield f"{name}: {s['build']['context']} has no Dockerfile: run make image-context"
        if s.get("tmpfs"):
            yield f"{name}: needs no tmpfs"
        if not s.get("mem_limit"):
            yield f"{name}: must have a limit of memory"
        for p in s.get("ports", []):
            if p.get("host_ip") != "127.0.0.1":
                yield f"{name}: port {p.get('published')} must be published on loopback alone"
        for v in s.get("volumes", []):
            if v["type"] == "volume" and v["source"] not in project.get("volumes", {}):
                yield f"{name}: volume {v['source']} is not declared"
            if v["type"] == "bind" and not v.get("read_only"):
                yield f"{name}: {v['target']} must be read-only"
            if v["type"] == "bind" and not os.path.exists(os.path.join(directory, v["source"])):
                yield f"{name}: {v['source']} does not exist"
        # Who is waited for must say when it is ready: by its health, or by its end.
        for other, d in s.get("depends_on", {}).items():
            if other not in services:
                yield f"{name}: depends on {other}, which does not exist"
                continue
            if d["condition"] == "service_healthy" and not services[other].get("healthcheck"):
                yield f"{name}: {other} has no healthcheck"
            if d["condition"] == "service_started":
                yield f"{name}: must wait until {other} is healthy or has ended"


found = list(faults(json.load(sys.stdin), sys.argv[1]))
print("\n".join(found))
sys.exit(1 if found else 0)
