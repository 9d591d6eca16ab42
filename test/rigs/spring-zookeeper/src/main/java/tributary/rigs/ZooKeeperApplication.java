package tributary.rigs;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** An application that registers with ZooKeeper. Configured by arguments (--key=value). */
@SpringBootApplication
public class ZooKeeperApplication {
    public static void main(String[] args) {
        SpringApplication.run(ZooKeeperApplication.class, args);
    }
}
