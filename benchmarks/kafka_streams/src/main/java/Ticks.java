import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.Locale;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Kafka Streams with one thread and state in RocksDB: the last price and the count of each symbol, which is the messages'
 * key. Arguments, and the one line that it prints, are those of peer_apps/progress.py.
 */
public final class Ticks {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private final long count;
    private final double limitS;
    private long taken;
    private long begunNs;
    private long cpuNs;

    private Ticks(long count, double limitS) {
        this.count = count;
        this.limitS = limitS;
    }

    public static void main(String[] arguments) {
        Ticks ticks = new Ticks(Long.parseLong(arguments[4]), Double.parseDouble(arguments[5]));
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[2]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[3]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(arguments[1], Consumed.with(Serdes.String(), Serdes.ByteArray()))
                .groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
                .aggregate(
                        () -> new byte[Double.BYTES + Long.BYTES],
                        (symbol, tick, quote) -> ticks.follow(tick, quote),
                        Materialized.<String, byte[], KeyValueStore<Bytes, byte[]>>as("quotes")
                                .withKeySerde(Serdes.String())
                                .withValueSerde(Serdes.ByteArray()));
        new KafkaStreams(builder.build(), settings).start();
    }

    private byte[] follow(byte[] tick, byte[] quote) {
        try {
            JsonNode decoded = JSON.readTree(tick);
            long known = ByteBuffer.wrap(quote).getLong(Double.BYTES);
            byte[] changed = ByteBuffer.allocate(Double.BYTES + Long.BYTES)
                    .putDouble(decoded.get("price").asDouble())
                    .putLong(known + 1)
                    .array();
            add();
            return changed;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void add() {
        long nowNs = System.nanoTime();
        if (taken == 0) {
            begunNs = nowNs;
            cpuNs = SYSTEM.getProcessCpuTime();
        }
        taken++;
        double seconds = (nowNs - begunNs) / 1e9;
        if (taken >= count || seconds >= limitS) {
            double cpuS = (SYSTEM.getProcessCpuTime() - cpuNs) / 1e9;
            System.out.printf(
                    Locale.ROOT, "{\"ticks\": %d, \"seconds\": %f, \"cpu_s\": %f}%n", taken, seconds, cpuS);
            System.out.flush();
            Runtime.getRuntime().halt(0);
        }
    }
}
