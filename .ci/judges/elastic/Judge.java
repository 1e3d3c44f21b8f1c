import co.elastic.clients.elasticsearch._types.mapping.DynamicMapping;
import co.elastic.clients.elasticsearch._types.mapping.Property;
import co.elastic.clients.elasticsearch._types.mapping.TypeMapping;
import co.elastic.clients.elasticsearch.cluster.PutComponentTemplateRequest;
import co.elastic.clients.elasticsearch.ilm.PutLifecycleRequest;
import co.elastic.clients.elasticsearch.indices.IndexSettings;
import co.elastic.clients.elasticsearch.indices.PutIndexTemplateRequest;
import co.elastic.clients.elasticsearch.ingest.Processor;
import co.elastic.clients.elasticsearch.ingest.PutPipelineRequest;
import co.elastic.clients.elasticsearch.security.ClusterPrivilege;
import co.elastic.clients.elasticsearch.security.CreateApiKeyRequest;
import co.elastic.clients.elasticsearch.security.IndexPrivilege;
import co.elastic.clients.elasticsearch.security.IndicesPrivileges;
import co.elastic.clients.elasticsearch.security.PutRoleRequest;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * Judges the files of deploy/siem/elastic by Elastic's own typed client, which knows every name of the requests that they
 * are the bodies of, and refuses all others.
 *
 * <p>java -cp 'lib/*' Judge.java deploy/siem/elastic. What the client takes for a plug-in's (a processor, a mapping type, a
 * setting, a privilege that it does not know) is refused here. In the same run, copies broken on purpose must be refused, each
 * for its own fault: a judge that approves of everything fails.
 */
public class Judge {
  /** Returns what is wrong with a file's text, or null. */
  static String fault(String file, String text) {
    try {
      StringReader in = new StringReader(text);
      switch (file) {
        case "index-template.json" -> {
          var t = PutIndexTemplateRequest.of(b -> b.name("x").withJson(in));
          if (t.dataStream() == null || t.indexPatterns().isEmpty()) return "makes no data stream";
          if (t.template() != null) return "has settings or mappings beside those of its components";
          for (String c : t.composedOf())
            if (!Files.exists(dir.resolve(c.replaceFirst("^s1stream-threat-", "component-") + ".json"))) return "no component " + c;
        }
        case "component-ecs.json", "component-sentinel_one.json", "component-settings.json" -> {
          var t = PutComponentTemplateRequest.of(b -> b.name("x").withJson(in)).template();
          if (t.mappings() != null) mappings(t.mappings());
          if (t.settings() != null) settings(t.settings());
        }
        case "ingest-pipeline.json" -> {
          var p = PutPipelineRequest.of(b -> b.id("x").withJson(in));
          processors(p.processors());
          processors(p.onFailure());
        }
        case "ilm-policy.json" -> {
          var p = PutLifecycleRequest.of(b -> b.name("x").withJson(in)).policy();
          if (p == null || p.phases().hot() == null || p.phases().delete() == null) return "no phase hot, or no phase delete";
        }
        case "role.json" -> {
          var r = PutRoleRequest.of(b -> b.name("x").withJson(in));
          if (r.indices().isEmpty()) return "grants nothing";
          privileges(r.cluster(), r.indices());
        }
        case "api-key.json" -> {
          var k = CreateApiKeyRequest.of(b -> b.withJson(in));
          if (k.roleDescriptors().isEmpty()) return "grants everything that its maker may do";
          k.roleDescriptors().values().forEach(r -> privileges(r.cluster(), r.indices()));
        }
        default -> {
          return "nobody knows what this is for";
        }
      }
      return null;
    } catch (Exception e) {
      StringBuilder s = new StringBuilder();
      for (Throwable t = e; t != null; t = t.getCause()) s.append(t.getMessage()).append("; ");
      return s.toString();
    }
  }

  static void mappings(TypeMapping m) {
    if (m.dynamic() != null && m.dynamic() != DynamicMapping.False) throw new IllegalArgumentException("dynamic: a new field could be refused, or make the mapping grow");
    properties("", m.properties());
  }

  static void properties(String at, Map<String, Property> all) {
    all.forEach(
        (name, p) -> {
          fields++;
          if (p._isCustom()) throw new IllegalArgumentException("unknown type " + p._customKind() + " of " + at + name);
          if (p.isKeyword() && p.keyword().ignoreAbove() == null && p.keyword().index() == null)
            throw new IllegalArgumentException(at + name + " has no ignore_above: a long value would refuse its document");
          if (p.isObject()) properties(at + name + ".", p.object().properties());
        });
  }

  static void settings(IndexSettings s) {
    IndexSettings i = s.index() == null ? s : s.index();
    if (!i.otherSettings().isEmpty()) throw new IllegalArgumentException("unknown setting " + i.otherSettings().keySet());
    if (i.mapping() == null || !Boolean.parseBoolean(String.valueOf(i.mapping().ignoreMalformed()))) throw new IllegalArgumentException("ignore_malformed is not on");
  }

  static void processors(List<Processor> all) {
    for (Processor p : all) {
      if (p._isCustom()) throw new IllegalArgumentException("unknown processor " + p._customKind());
      boolean goesOn = p.isSet() ? Boolean.TRUE.equals(p.set().ignoreFailure()) : p.isScript() && Boolean.TRUE.equals(p.script().ignoreFailure());
      if (!goesOn) throw new IllegalArgumentException("a processor without ignore_failure could refuse a document");
    }
  }

  static void privileges(List<String> cluster, List<IndicesPrivileges> indices) {
    TreeSet<String> known = new TreeSet<>();
    for (ClusterPrivilege p : ClusterPrivilege.values()) known.add(p.jsonValue());
    for (String p : cluster) if (!known.contains(p)) throw new IllegalArgumentException("unknown privilege " + p);
    known.clear();
    for (IndexPrivilege p : IndexPrivilege.values()) known.add(p.jsonValue());
    for (IndicesPrivileges i : indices)
      for (String p : i.privileges()) if (!known.contains(p)) throw new IllegalArgumentException("unknown privilege " + p);
  }

  static Path dir;
  static int fields;

  /** file, what is replaced, by what, and a word of the fault. */
  static final String[][] BROKEN = {
    {"index-template.json", "\"priority\"", "\"prioritty\"", "prioritty"},
    {"index-template.json", "\"data_stream\": {},", "", "data stream"},
    {"index-template.json", "threat-ecs", "threat-esc", "no component"},
    {"component-ecs.json", "\"properties\"", "\"propertys\"", "propertys"},
    {"component-ecs.json", "\"type\": \"ip\"", "\"type\": \"ipp\"", "ipp"},
    {"component-ecs.json", "\"dynamic\": false", "\"dynamic\": \"strict\"", "dynamic"},
    {"component-ecs.json", "\"keyword\", \"ignore_above\": 1024", "\"keyword\"", "ignore_above"},
    {"component-ecs.json", "\"ignore_above\": 1024", "\"ignore_over\": 1024", "ignore_over"},
    {"component-sentinel_one.json", "\"flattened\"", "\"flat_object\"", "flat_object"},
    {"component-settings.json", "\"ignore_malformed\": true", "\"ignore_malformd\": true", "ignore_malform"},
    {"component-settings.json", "\"codec\"", "\"kodec\"", "kodec"},
    {"ingest-pipeline.json", "\"set\"", "\"sett\"", "sett"},
    {"ingest-pipeline.json", "\"field\"", "\"feld\"", "feld"},
    {"ingest-pipeline.json", "\"ignore_failure\": true", "\"ignore_failure\": false", "ignore_failure"},
    {"ilm-policy.json", "\"max_age\"", "\"maxage\"", "maxage"},
    {"ilm-policy.json", "\"delete\": {", "\"remove\": {", "remove"},
    {"role.json", "\"create_doc\"", "\"creat_doc\"", "creat_doc"},
    {"role.json", "\"names\"", "\"name\"", "name"},
    {"api-key.json", "\"monitor\"", "\"monitr\"", "monitr"},
    {"api-key.json", "\"role_descriptors\"", "\"roles\"", "roles"},
  };

  public static void main(String[] args) throws Exception {
    dir = Path.of(args[0]);
    TreeSet<String> files = new TreeSet<>();
    try (Stream<Path> all = Files.list(dir)) {
      all.map(p -> p.getFileName().toString()).filter(n -> n.endsWith(".json")).forEach(files::add);
    }
    int faults = 0;
    for (String file : files) {
      String fault = fault(file, Files.readString(dir.resolve(file)));
      if (fault != null) {
        faults++;
        System.out.println(file + ": " + fault);
      }
    }
    int known = fields;
    TreeSet<String> shown = new TreeSet<>();
    for (String[] b : BROKEN) {
      String text = Files.readString(dir.resolve(b[0]));
      String fault = fault(b[0], text.replaceFirst(java.util.regex.Pattern.quote(b[1]), b[2]));
      shown.add(b[0]);
      if (!text.contains(b[1]) || fault == null || !fault.contains(b[3])) {
        faults++;
        System.out.println(b[0] + " with " + b[2] + " in place of " + b[1] + " is judged so: " + fault);
      }
    }
    if (!shown.equals(files)) {
      faults++;
      System.out.println("broken examples are of " + shown + ", the files are " + files);
    }
    System.out.println("elastic: " + files.size() + " files, " + known + " fields, " + faults + " faults; " + BROKEN.length + " broken examples tried");
    System.exit(faults > 0 || known < 200 ? 1 : 0);
  }
}
